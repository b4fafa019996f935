"""The Sessions into which mapped objects are loaded that arrive from another node."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from sqlalchemy import Engine, inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, scoped_session

from fly_orm.adapters.base import CodecError

_chosen: ContextVar[tuple[_Chosen, ...]] = ContextVar("fly_orm_sqlalchemy_chosen", default=())
_function: ContextVar[_Function | None] = ContextVar("fly_orm_sqlalchemy_function", default=None)


class _Chosen:
    """The Session of one block; None once the block is over, in whichever context and order that was."""

    def __init__(self, session: Any) -> None:
        self.session = session


class _Function:
    """The Sessions of a function that runs for a caller elsewhere."""

    def __init__(self) -> None:
        self.given: dict[Engine, Session] = {}
        """Those that the objects are in which it gets, by their engines."""
        self.begun: weakref.WeakSet[Session] = weakref.WeakSet()
        """Those that have begun a transaction in it."""

    def close(self) -> None:
        """Let go of all objects, and roll back what was not committed."""
        for session in (*self.given.values(), *self.begun):
            session.close()


@contextmanager
def sessions_of_function() -> Iterator[None]:
    """A block in which a function runs for a caller elsewhere. One for all engines of the process.

    At its end, the Sessions that it has used are closed, those of a ``scoped_session`` too, which lasts longer.
    """
    if _function.get() is not None:
        yield
        return
    function = _Function()
    token = _function.set(function)
    try:
        yield
    finally:
        _function.reset(token)
        function.close()


def note_begun(session: Session, *_: Any) -> None:
    """Note that a Session has begun a transaction. A listener of all Sessions."""
    function = _function.get()
    if function is not None:
        function.begun.add(session)


@contextmanager
def loading_into(session: Session | scoped_session[Any]) -> Iterator[None]:
    """A block in which the mapped objects that functions return are loaded into this Session.

    Outside of such a block, they are loaded into ``db.session`` of Flask-SQLAlchemy, if the engine is one of its own
    and an application context is pushed. Otherwise they are detached, as after ``Session.close()``; ``session.add()``
    attaches them.
    """
    mine = _Chosen(session)
    _chosen.set((*_open_blocks(), mine))
    try:
        yield
    finally:
        mine.session = None
        _chosen.set(_open_blocks())


def _open_blocks() -> tuple[_Chosen, ...]:
    return tuple(each for each in _chosen.get() if each.session is not None)


def load(engines: Collection[Engine], cls: type[Any], key: tuple[Any, ...]) -> Any:
    """The object of that class and primary key, as the database has it now. CodecError if there is none.

    ``engines`` are those of the database. There may be several, of which any will do.
    """
    try:
        found = _load(engines, cls, key)
    except (SQLAlchemyError, TypeError, ValueError) as error:
        raise CodecError(f"{cls.__name__} {key} cannot be loaded: {error}") from error
    if found is None:
        raise CodecError(f"{cls.__name__} {key} cannot be loaded: it is not in the database, or was not committed")
    return found


def _load(engines: Collection[Engine], cls: type[Any], key: tuple[Any, ...]) -> Any:
    blocks, function = _open_blocks(), _function.get()
    session = blocks[-1].session if blocks else _of_flask(engines)
    if session is not None:
        return _current(session, cls, key)
    engine = next(iter(engines))
    if function is not None:
        return _for_function(function, engine, cls, key)
    with Session(engine) as own:
        return own.get(cls, key)


def _current(session: Any, cls: type[Any], key: tuple[Any, ...]) -> Any:
    """The object in a Session, loaded anew, but never in place of what was changed and not flushed."""
    known = session.identity_map.get(inspect(cls).identity_key_from_primary_key(key))
    if known is not None and session.is_modified(known):
        return known
    with session.no_autoflush:  # which would begin a transaction on the primary
        return session.get(cls, key, populate_existing=True)


def _for_function(function: _Function, engine: Engine, cls: type[Any], key: tuple[Any, ...]) -> Any:
    session = function.given.get(engine)
    if session is None:
        session = function.given[engine] = Session(engine)
    found = session.get(cls, key)
    # Give the connection back, as the function may need it, without expiring what was loaded.
    session.expire_on_commit = False
    session.commit()
    session.expire_on_commit = True
    return found


def _of_flask(engines: Collection[Engine]) -> Any:
    """Flask-SQLAlchemy's Session, if the application that runs here has one of these engines; else None."""
    flask = sys.modules.get("flask")
    if "flask_sqlalchemy" not in sys.modules or flask is None or not flask.has_app_context():
        return None
    extension = flask.current_app.extensions.get("sqlalchemy")
    if extension is None or not any(engine in engines for engine in extension.engines.values()):
        return None
    return extension.session
