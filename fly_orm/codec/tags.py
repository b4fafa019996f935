"""The tags of nodes on the wire. A number keeps its meaning for ever; releases that do not know it refuse the node."""

from __future__ import annotations

from typing import Final

# The docstring of each tag lists its operands. * means any number of them, and [] that they may be missing.

LIST: Final = 0
"""items*"""
TUPLE: Final = 1
"""items*"""
SET: Final = 2
"""items*"""
FROZENSET: Final = 3
"""items*"""
DICT: Final = 4
"""(key, value)*"""

BYTEARRAY: Final = 5
"""bytes"""
MEMORYVIEW: Final = 6
"""bytes"""
BIG_INT: Final = 7
"""bytes: two's complement, big-endian. Parsing decimal text takes time quadratic in its length."""
SURROGATES: Final = 8
"""bytes: a str with lone surrogates, as UTF-8 with "surrogatepass" """
COMPLEX: Final = 9
"""real part, imaginary part"""
DECIMAL: Final = 10
"""text"""
FRACTION: Final = 11
"""numerator, denominator"""
UUID: Final = 12
"""16 bytes"""

DATE: Final = 13
"""ISO text"""
TIME: Final = 14
"""ISO text without time zone [, time zone or None, fold]"""
DATETIME: Final = 15
"""ISO text without time zone [, time zone or None, fold]"""
TIMEDELTA: Final = 16
"""days, seconds, microseconds"""
TIMEZONE: Final = 17
"""offset in seconds, and microseconds [, name]"""
ZONE: Final = 18
"""key of a zoneinfo.ZoneInfo"""

IPV4_ADDRESS: Final = 19
"""text"""
IPV6_ADDRESS: Final = 20
"""text"""
IPV4_INTERFACE: Final = 21
"""text"""
IPV6_INTERFACE: Final = 22
"""text"""
IPV4_NETWORK: Final = 23
"""text"""
IPV6_NETWORK: Final = 24
"""text"""

REGISTERED: Final = 25
"""an instance of a registered class: the name of the class, and what its converter made of the instance*"""
HANDLED: Final = 26
"""an instance of a class that a type handler knows: prefix of the handler, name of the class, dict of extras, dict of
fields*"""
ERROR: Final = 27
"""an exception: reference to its class (:mod:`.exceptions.classes`), full name of the class, text, args (or what the
encode hook returned), dict of fields held in C, dict of attributes, list of notes, list of members of a group, cause or
None, whether its context is suppressed"""
REMOTE: Final = 28
"""an exception that arrives as a RemoteError: full name of its class, text, list of notes, cause or None, whether its
context is suppressed"""
CLASS: Final = 29
"""the name of a class. Only the first argument of a class method is one"""
