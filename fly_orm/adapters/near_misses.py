"""What to pass to ``wrap()`` in place of objects that no adapter takes, but that hold or open connections."""

from __future__ import annotations

_FACTORY = "connection_factory=fly_orm.connection_factory()"
_ADDRESS = (
    "Pass the object by which your ORM knows its database, and not its address. For psycopg2 without an ORM, connect "
    f"with {_FACTORY}"
)
_ONLY_PSYCOPG2 = (
    "fly_orm routes connections of psycopg2, and not those of {package}; see docs/connection-factory.md for what "
    "connects through psycopg2"
)
_OTHER_DRIVERS = ("psycopg", "psycopg_pool", "asyncpg", "aiopg", "pg8000", "tortoise", "databases", "gino")
#: By the package of the object's class.
_HINTS = {
    "flask_sqlalchemy": (
        "Wrap its engine, within an application context: with app.app_context(): fly_orm.wrap(db.engine). Or have it "
        'create one that is wrapped: SQLALCHEMY_ENGINE_OPTIONS = {"plugins": ["fly_orm"]}'
    ),
    "playhouse": "Wrap the peewee database that it holds, such as that of a FlaskDB: fly_orm.wrap(flask_db.database)",
    "psycopg2": f"Pass {_FACTORY} to psycopg2.connect(), or to the pool, which passes it on",
    "sqlalchemy": "Install its adapter from a clone of fly_orm: pip install ./plugins/fly-orm-sqlalchemy",
    "django": (
        "Install the backend for Django from a clone of fly_orm, pip install ./plugins/fly-orm-django, and set ENGINE "
        "to 'fly_orm_django'"
    ),
    **{package: _ONLY_PSYCOPG2.format(package=package) for package in _OTHER_DRIVERS},
}


def hint(cls: type) -> str | None:
    """What to pass in place of an object of this class; None if nothing is known of it."""
    if issubclass(cls, str):
        return _ADDRESS
    packages = (each.__module__.partition(".")[0] for each in cls.__mro__ if each is not object)
    return next((_HINTS[package] for package in packages if package in _HINTS), None)
