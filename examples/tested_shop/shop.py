"""A shop that peewee stores in Postgres, as small as its tests need it."""

import os

import fly_orm
from peewee import CharField, ForeignKeyField, IntegerField, Model
from playhouse.db_url import connect

db = fly_orm.wrap(connect(os.environ["DATABASE_URL"]))


class Base(Model):
    class Meta:
        database = db


class Product(Base):
    name = CharField(unique=True)
    stock = IntegerField()


class Order(Base):
    product = ForeignKeyField(Product)
    amount = IntegerField()


@fly_orm.register_type
class SoldOut(Exception):
    """There are not so many left."""


@fly_orm.on_primary
@db.atomic()
def order(name: str, amount: int) -> int:
    """Order a product, in one transaction and one round trip, and return the number of the order."""
    sold = Product.update(stock=Product.stock - amount).where(Product.name == name, Product.stock >= amount).execute()
    if not sold:
        raise SoldOut(name)
    number: int = Order.create(product=Product.get(Product.name == name), amount=amount).id
    return number


def page() -> list[str]:
    """What a visitor sees."""
    with fly_orm.session():
        return [f"{product.name}: {product.stock}" for product in Product.select().order_by(Product.name)]
