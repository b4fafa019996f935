"""What processes find in their environment."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from urllib.parse import quote, urlencode

#: Prefixes of variables that say where a process runs, and which database it has.
_OF_THE_SET_UP = ("DATABASE_URL", "FLYORM_", "FLY_", "MY_REGION", "PRIMARY_REGION")
#: Those that libpq reads (Postgres manual, section "Environment Variables"). Others that begin with PG are not its own.
_LIBPQ = """
    PGAPPNAME PGCHANNELBINDING PGCLIENTENCODING PGCONNECT_TIMEOUT PGDATABASE PGDATESTYLE PGGEQO PGGSSDELEGATION
    PGGSSENCMODE PGGSSLIB PGHOST PGHOSTADDR PGKRBSRVNAME PGLOADBALANCEHOSTS PGLOCALEDIR PGMAXPROTOCOLVERSION
    PGMINPROTOCOLVERSION PGOPTIONS PGPASSFILE PGPASSWORD PGPORT PGREALM PGREQUIREAUTH PGREQUIREPEER PGREQUIRESSL
    PGSERVICE PGSERVICEFILE PGSSLCERT PGSSLCERTMODE PGSSLCOMPRESSION PGSSLCRL PGSSLCRLDIR PGSSLKEY
    PGSSLMAXPROTOCOLVERSION PGSSLMINPROTOCOLVERSION PGSSLMODE PGSSLNEGOTIATION PGSSLROOTCERT PGSSLSNI PGSYSCONFDIR
    PGTARGETSESSIONATTRS PGTZ PGUSER
"""


def inherited() -> dict[str, str]:
    """The environment of this process, without what is about its own regions and databases."""
    about = _of_the_set_up()
    return {name: value for name, value in os.environ.items() if name not in about}


@contextmanager
def replaced(variables: Mapping[str, str]) -> Iterator[None]:
    """A block in which this process has these variables, and no others that are about regions and databases."""
    before = {name: os.environ.get(name) for name in {*_of_the_set_up(), *variables}}
    _change({**dict.fromkeys(before), **variables})
    try:
        yield
    finally:
        _change(before)


def is_worker() -> bool:
    """Whether this process runs tests for another one, which pytest-xdist has started."""
    return "PYTEST_XDIST_WORKER" in os.environ


def workers_by_default() -> int | None:
    """How many processes pytest-xdist starts for ``-n auto``, if a variable says it."""
    try:
        return int(os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS", ""))
    except ValueError:
        return None


def finding(paths: Sequence[str]) -> dict[str, str]:
    """The variable with which Python finds modules in these folders first; none if there are no folders."""
    others = [path for path in [os.environ.get("PYTHONPATH")] if path]
    return {"PYTHONPATH": os.pathsep.join([*paths, *others])} if paths else {}


def _of_the_set_up() -> set[str]:
    libpq = _LIBPQ.split()
    return {name for name in os.environ if name.startswith(_OF_THE_SET_UP) or name in libpq}


def _change(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def url(parameters: Mapping[str, object]) -> str:
    """Connection parameters as the URL of a database."""
    given = {name: str(value) for name, value in parameters.items()}
    name = quote(given.pop("dbname"), safe="")
    return f"postgresql://{quote(given.pop('user'))}@/{name}?{urlencode(given)}"
