"""COPY works in lax as on the primary, whether its data travels at once or in pieces."""

import io
from collections.abc import Callable
from typing import Any

import psycopg2
import pytest
from psycopg2 import sql

from tests.support.copies import make_pieces_small
from tests.support.side_by_side import MODES, Cases, Probe, SideBySide, seen_error

STEPS = Cases()
case = STEPS.case


@case
def copying(p: Probe) -> Any:
    cursor, found = p.connection.cursor(), []
    found += [cursor.copy_from(io.StringIO("10\tten\t1\n11\té\\\\\t\\N\n"), "t"), cursor.rowcount, cursor.statusmessage]
    found += [
        cursor.copy_from(io.BytesIO(b"12|twelve\n"), "t", sep="|", null="", columns=("id", "name")),
        cursor.rowcount,
    ]
    out = io.StringIO()
    found += [cursor.copy_to(out, "t", sep=",", null="nil", columns=("id", "name")), out.getvalue(), cursor.rowcount]
    data = io.BytesIO()
    cursor.copy_expert("COPY (SELECT name FROM t ORDER BY id) TO STDOUT WITH CSV HEADER", data)
    found += [data.getvalue(), cursor.rowcount, cursor.statusmessage, cursor.description]
    cursor.copy_expert(sql.SQL("COPY {} (name) FROM STDIN").format(sql.Identifier("t")), io.StringIO("composed\n"))
    binary = io.BytesIO()
    cursor.copy_expert("COPY t TO STDOUT WITH (FORMAT binary)", binary)
    cursor.execute("TRUNCATE t CASCADE")
    cursor.copy_expert("COPY t FROM STDIN WITH (FORMAT binary)", io.BytesIO(binary.getvalue()))
    return [*found, cursor.rowcount, cursor.query]


class Chunks:
    """A file over an iterator: read() returns the next chunk, whatever the size, and then nothing."""

    def __init__(self, *chunks: Any) -> None:
        self.chunks = iter(chunks)
        self.sizes: list[int] = []

    def read(self, size: int = -1) -> Any:
        self.sizes.append(size)
        chunk = next(self.chunks, "")
        if isinstance(chunk, Exception):
            raise chunk
        return chunk

    readline = read


class TextChunks(Chunks, io.TextIOBase):
    """The same as a text file."""


@case
def copying_from_chunks(p: Probe) -> Any:
    cursor, found = p.connection.cursor(), []
    for source in (Chunks("20\ta\n", b"21\tb\n", "22\t\u00e9\n"), TextChunks("23\tc\n", "24\td\n25\te\n", "2", "6\tf")):
        found += [cursor.copy_from(source, "t", columns=("id", "name"), size=7), cursor.rowcount, source.sizes]
    return found


def copying_fails_with(*chunks: Any) -> Callable[[Probe], Any]:
    def copying(p: Probe) -> Any:
        cursor, source = p.connection.cursor(), Chunks(*chunks)
        with pytest.raises(psycopg2.Error) as raised:
            cursor.copy_expert("COPY t (id, name) FROM STDIN", source)
        return seen_error(raised.value), cursor.rowcount, p.connection.get_transaction_status()

    return copying


for label, chunks in {
    "an error": ("30\ta\n", OSError("disk gone")),
    "an error of its own class": ("30\ta\n31", type("Mine", (Exception,), {})("no \u00e9\nat all")),
    "something else than text": ("30\ta\n", None, "31\tb\n"),
    "what the encoding lacks": ("30\ta\n", "31\t\udc00\n"),
    "nothing but an error": (KeyError("x"),),
}.items():
    STEPS[f"copying from a source that returns {label}"] = [copying_fails_with(*chunks), "SELECT count(*) FROM t"]


@case
def copying_writes_one_row_after_another(p: Probe) -> Any:
    found: list[Any] = []
    for base in (object, io.TextIOBase):
        written: list[Any] = []
        file: Any = type("Rows", (base,), {"write": lambda self, data: written.append(data)})()  # noqa: B023
        for query in ("t", "(SELECT add('d'))", "(SELECT 'é\n' FROM t)", "(SELECT 1 WHERE false)"):
            p.connection.cursor().copy_expert(f"COPY {query} TO STDOUT WITH (FORMAT csv)", file)
            p.connection.rollback()
        found.append(written)
    return found


@case
def copying_what_is_not_a_file(p: Probe) -> Any:
    cursor, found = p.connection.cursor(), []
    only_read = type("OnlyRead", (), {"read": lambda *a: ""})
    calls: list[Callable[[], Any]] = [
        lambda: cursor.copy_expert("COPY t FROM STDIN", None),
        lambda: cursor.copy_expert("COPY t TO STDOUT", object()),
        lambda: cursor.copy_from(None, "t"),
        lambda: cursor.copy_from(only_read(), "t"),
        lambda: cursor.copy_to("file", "t"),
        lambda: cursor.copy_to(only_read(), "t"),
        lambda: cursor.copy_from(io.StringIO(), "t", columns=5),
        lambda: cursor.copy_from(io.StringIO(), "t", columns=(5,)),
    ]
    for call in [*calls, cursor.close, *calls]:
        try:
            found.append(call())
        except Exception as error:
            found.append(seen_error(error))
        found.append(p.connection.get_transaction_status())
    return found


@case
def copying_that_is_something_else(p: Probe) -> Any:
    found: list[Any] = []
    for other in (
        "INSERT INTO t (name) VALUES ('50%') RETURNING name",
        "SELECT count(*) FROM t",
        "SELECT pg_try_advisory_lock(7)",
        "SELECT pg_advisory_unlock(7), pg_advisory_unlock(7)",
        "SET LOCAL work_mem TO '5MB'",
        "SHOW server_encoding",
        "SELECT 1/0",
        "",
    ):
        cursor = p.connection.cursor()
        try:
            found.append(cursor.copy_expert(other, io.StringIO()))
            found.append(p.result(cursor))
        except psycopg2.Error as error:
            found += [seen_error(error), p.connection.get_transaction_status()]
    return found


@case
def copying_with_a_wrong_size(p: Probe) -> Any:
    found: list[Any] = []
    for size in (None, "7", 7.5, True):
        try:
            p.connection.cursor().copy_expert("COPY t (name) FROM STDIN", io.StringIO(f"{size}\n"), size)
        except TypeError as error:
            found.append((seen_error(error), p.connection.get_transaction_status()))
    return found


@case
def copying_what_is_wrong(p: Probe) -> Any:
    cursor = p.connection.cursor()
    try:
        cursor.copy_from(io.StringIO("x\ty\n"), "t")
    except psycopg2.Error as error:
        return seen_error(error)
    return None


@case
def copying_what_is_as_long_as_some_pieces(p: Probe) -> Any:
    cursor, found = p.connection.cursor(), []
    for length in (0, 6, 7, 8, 13, 14, 15, 21):
        line = "x" * length + "\n"
        found += [cursor.copy_from(io.StringIO(line), "t", columns=("name",)), cursor.rowcount]
        for size in (1, 3, 7, 100):
            found += [cursor.copy_from(io.StringIO(line), "child", null=line[:-1], size=size), cursor.rowcount]
        cursor.execute("DELETE FROM t WHERE name = %s", (line[:-1],))
    return found


@case
def copying_to_a_file_that_raises(p: Probe) -> Any:
    found: list[Any] = []
    for at in (1, 2, 3, 4):
        cursor, written = p.connection.cursor(), []

        def write(_file: Any, data: str, written: Any = written, at: int = at) -> None:
            if len(written) == at:
                raise KeyError(at)
            written.append(data)

        file: Any = type("Full", (io.TextIOBase,), {"write": write})()
        try:
            cursor.copy_expert("COPY (SELECT add('q')::text UNION ALL SELECT name FROM t) TO STDOUT", file)
        except KeyError as error:
            found.append(seen_error(error))
        p.connection.cursor().execute("SELECT 1")
        found += [written, p.connection.get_transaction_status()]
        p.connection.cursor().execute("DELETE FROM t WHERE name = 'q'")
    return found


@case
def copying_with_a_wrong_row_in_the_middle(p: Probe) -> Any:
    found: list[Any] = []
    for wrong in ("x\ty", "43", "44\ta\t1\tb", "45\ta\t5000", "1\ta\t1", "46\t\\N\t1\\"):
        source = Chunks("40\ta\t1\n41\tb\t1\n", f"{wrong}\n", *(f"{n}\tx{n}\t1\n" for n in range(50, 60)))
        with pytest.raises(psycopg2.Error) as raised:
            p.connection.cursor().copy_from(source, "t", size=9)
        found += [seen_error(raised.value), source.sizes, p.connection.get_transaction_status()]
        p.connection.cursor().execute("ROLLBACK")
    return found


@case
def copying_in_another_encoding(p: Probe) -> Any:
    p.connection.set_client_encoding("LATIN1")
    cursor, found = p.connection.cursor(), []
    for source in (io.StringIO("é à la carte\n"), io.BytesIO("é\n".encode("latin1"))):
        found += [cursor.copy_from(source, "t", columns=("name",)), cursor.rowcount]
    for target in (io.StringIO(), io.BytesIO()):
        cursor.copy_expert("COPY (SELECT name FROM t ORDER BY id) TO STDOUT", target)
        found.append(target.getvalue())
    return found


@case
def copying_with_session_settings(p: Probe) -> Any:
    cursor, out = p.connection.cursor(), io.StringIO()
    cursor.execute("SET datestyle TO 'SQL, DMY'; SET statement_timeout TO '1min'")
    cursor.copy_expert("COPY t (name) FROM STDIN WHERE name::date > '1/2/2000'", io.StringIO("2/1/2000\n3/2/2000\n"))
    rows = cursor.rowcount
    cursor.copy_expert("COPY (SELECT date '2000-02-03', current_setting('statement_timeout'), add('x')) TO STDOUT", out)
    return rows, out.getvalue()


#: A piece may have: more than all cases need, or so little that most need several, which may begin within a character.
SIZES = [2 * 1024 * 1024, 7]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("size", SIZES, ids=["at once", "in pieces"])
def test_is_the_same_in_lax(
    beside: SideBySide, name: str, mode: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_pieces_small(monkeypatch, size)
    on_primary, in_lax = beside.in_mode(mode, STEPS[name])
    assert in_lax == on_primary
