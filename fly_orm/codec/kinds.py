"""The kinds of nodes on the wire. A number keeps its meaning for ever; a release that lacks one refuses it."""

from __future__ import annotations

from typing import Final

# Each is followed by its operands; * is any number of them.

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
"""bytes: two's complement, big-endian; decimal text would take time that grows with the square of its length"""
SURROGATES: Final = 8
"""bytes: a str that has lone surrogates, as UTF-8 with "surrogatepass" """
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

OBJECT: Final = 25
"""name that its class is registered under, what stands for the instance*"""
FAMILY: Final = 26
"""prefix of the family, name of the class, dict of extras, dict of fields*"""
ERROR: Final = 27
"""an exception: its class (after ``module:``, ``type:`` or a family's prefix), the class's full name, what it says, its
arguments (or what the encode hook returned), its fields in C, its attributes, its notes, the members of a group, its
cause, whether its context is suppressed"""
REMOTE: Final = 28
"""an exception that arrives as a RemoteError: class name, text, list of notes, cause or None, suppress context"""
