import pytest
from shop import Order, Product, db


@pytest.fixture(scope="session")
def tables():
    """The tables are made once; each test finds them empty."""
    db.create_tables([Product, Order])
