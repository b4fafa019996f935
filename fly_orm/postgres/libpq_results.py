"""libpq's functions for results that are taken while they arrive, which psycopg2 does not offer."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from functools import cache
from typing import Any

from psycopg2 import _psycopg

#: The names of libpq's ExecStatusType that matter here (libpq-fe.h).
EMPTY_QUERY, COMMAND_OK, TUPLES_OK, SINGLE_TUPLE, TUPLES_CHUNK = 0, 1, 2, 9, 12
#: Those of a COPY: to the client, from it, and both.
COPIES = (3, 4, 8)
#: What stands between two values that PQprint has written.
SEPARATOR = b"\x1f"

_POINTER, _INT = ctypes.c_void_p, ctypes.c_int
#: Functions that return at once, with the types of their result and their arguments. They keep the interpreter's lock:
#: to release it for each of them would let another thread run for 5 ms each time.
_QUICK: dict[str, tuple[Any, ...]] = {
    "PQgetResult": (_POINTER, _POINTER),
    "PQisBusy": (_INT, _POINTER),
    "PQsetSingleRowMode": (_INT, _POINTER),
    "PQresultStatus": (_INT, _POINTER),
    "PQresultErrorMessage": (ctypes.c_char_p, _POINTER),
    "PQresultErrorField": (ctypes.c_char_p, _POINTER, _INT),
    "PQerrorMessage": (ctypes.c_char_p, _POINTER),
    "PQcmdStatus": (ctypes.c_char_p, _POINTER),
    "PQcmdTuples": (ctypes.c_char_p, _POINTER),
    "PQntuples": (_INT, _POINTER),
    "PQnfields": (_INT, _POINTER),
    "PQfname": (ctypes.c_char_p, _POINTER, _INT),
    "PQftype": (ctypes.c_uint, _POINTER, _INT),
    "PQfmod": (_INT, _POINTER, _INT),
    "PQfsize": (_INT, _POINTER, _INT),
    "PQftable": (ctypes.c_uint, _POINTER, _INT),
    "PQftablecol": (_INT, _POINTER, _INT),
    "PQfformat": (_INT, _POINTER, _INT),
    "PQgetvalue": (_POINTER, _POINTER, _INT, _INT),
    "PQgetlength": (_INT, _POINTER, _INT, _INT),
    "PQgetisnull": (_INT, _POINTER, _INT, _INT),
    "PQresultMemorySize": (ctypes.c_size_t, _POINTER),
    "PQclear": (None, _POINTER),
}
_WAITING: dict[str, tuple[Any, ...]] = {"PQsendQuery": (_INT, _POINTER, ctypes.c_char_p)}


class _PrintOptions(ctypes.Structure):
    """PQprintOpt (Postgres manual, "Command Execution Functions"): bare values, without headings or alignment."""

    _fields_ = (
        *((name, ctypes.c_char) for name in ("header", "align", "standard", "html3", "expanded", "pager")),
        ("field_sep", ctypes.c_char_p),
        ("table_opt", ctypes.c_char_p),
        ("caption", ctypes.c_char_p),
        ("field_name", ctypes.c_void_p),
    )


class LibpqResults:
    """The functions, by libpq's names. OSError or AttributeError if they cannot be called from here."""

    def __init__(self) -> None:
        quick, waiting = ctypes.PyDLL(_psycopg.__file__), ctypes.CDLL(_psycopg.__file__)
        for name, types in _QUICK.items():
            setattr(self, name, _function(quick, name, *types))
        for name, types in _WAITING.items():
            setattr(self, name, _function(waiting, name, *types))
        self.wait_for_result = _function(waiting, "PQgetResult", _POINTER, _POINTER)
        self.text_value = _function(quick, "PQgetvalue", ctypes.c_char_p, _POINTER, _INT, _INT)
        """PQgetvalue for a value in text format, as bytes; empty for NULL."""
        self.set_chunks: Any = None
        """PQsetChunkedRowsMode, which libpq has since Postgres 17."""
        with suppress(AttributeError):
            self.set_chunks = _function(quick, "PQsetChunkedRowsMode", _INT, _POINTER, _INT)
        self.printing: Printing | None = None
        """None where the system's C library lacks what that needs."""
        with suppress(OSError, AttributeError, TypeError):  # TypeError: CDLL(None) on Windows
            self.printing = Printing(quick)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)  # declares the functions that __init__ sets to type checkers


class Printing:
    """Writes results into memory with PQprint: ten times as fast as to ask for one value after another from Python."""

    def __init__(self, libpq: Any) -> None:
        system = ctypes.PyDLL(None)
        self._options = _PrintOptions(*([b"\0"] * 6), SEPARATOR, None, None, None)
        self._options_at = ctypes.addressof(self._options)
        self._print = _function(libpq, "PQprint", None, _POINTER, _POINTER, _POINTER)
        self._open = _function(system, "open_memstream", _POINTER, _POINTER, _POINTER)
        self._flush = _function(system, "fflush", _INT, _POINTER)
        self._rewind = _function(system, "rewind", None, _POINTER)
        self._close = _function(system, "fclose", _INT, _POINTER)
        self._free = _function(system, "free", None, _POINTER)

    def open(self) -> Page:
        """Memory to write to. MemoryError if there is none."""
        return Page(self)


class Page:
    """Memory that results are written to, again and again, until it is closed."""

    def __init__(self, printing: Printing) -> None:
        self._printing = printing
        self._text, self._size = ctypes.c_void_p(), ctypes.c_size_t()
        self._file = printing._open(ctypes.addressof(self._text), ctypes.addressof(self._size))
        if not self._file:
            raise MemoryError("open_memstream() has failed")

    def write(self, results: list[int]) -> bytes:
        """The values of these results, a row each line. NULL looks like the empty string."""
        printing = self._printing
        for result in results:
            printing._print(self._file, result, printing._options_at)
        printing._flush(self._file)
        text = ctypes.string_at(self._text.value or 0, self._size.value)
        printing._rewind(self._file)
        return text

    def close(self) -> None:
        """Free the memory."""
        self._printing._close(self._file)
        self._printing._free(self._text)


def _function(library: Any, name: str, result: Any, *arguments: Any) -> Any:
    function = library[name]
    function.restype, function.argtypes = result, arguments
    return function


@cache
def libpq_results() -> LibpqResults | None:
    """The functions of the libpq that the driver is linked with; None if they cannot be called from here."""
    try:
        return LibpqResults()
    except (OSError, AttributeError):
        return None
