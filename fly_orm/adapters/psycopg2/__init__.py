"""psycopg2 itself: ``connection_factory()`` routes the connections of whatever connects through it."""
