"""How many values some MessagePack contains, which bounds the memory that decoding it takes."""

from __future__ import annotations

import re
from collections.abc import Collection

#: The most elements of one request, or of the arguments of one call. Each takes 60 to 100 bytes of memory, however few
#: bytes encode it.
MAX_ELEMENTS = 2**20
#: The most arrays and maps of one reply. A result has one for each column, and its values are of another kind.
MAX_CONTAINERS = 2**22


def _of_range(first: int, *sizes: int) -> dict[int, int]:
    return dict(enumerate(sizes, first))


#: The bytes of an element by its first byte, without its items, and without what a length field adds; 1 for all others.
_FIXED = {
    **{0xA0 + length: 1 + length for length in range(32)},
    **_of_range(0xC4, 2, 3, 5, 3, 4, 6),  # bin, ext
    **_of_range(0xCA, 5, 9, 2, 3, 5, 9, 2, 3, 5, 9),  # floats, integers
    **_of_range(0xD4, 3, 4, 6, 10, 18),  # fixext
    **_of_range(0xD9, 2, 3, 5, 3, 5, 3, 5),  # str, array, map
}
_SIZES = [_FIXED.get(byte, 1) for byte in range(256)]
_FIELDS = {**_of_range(0xC4, 1, 2, 4, 1, 2, 4), **_of_range(0xD9, 1, 2, 4)}
#: The bytes of the length field that an element with this first byte has.
_FIELD_SIZES = [_FIELDS.get(byte, 0) for byte in range(256)]

_CONTAINERS = bytes([*range(0x80, 0xA0), 0xDC, 0xDD, 0xDE, 0xDF])
#: Elements of a byte each, which hostile bytes have most of.
_SHORT = re.compile(rb"[\x00-\xa0\xc0-\xc3\xe0-\xff]+")


def has_more_elements(parts: Collection[bytes], most: int) -> bool:
    """Whether these encoded values have more than ``most`` elements in all: items, keys, and the containers themselves.

    An element takes a byte at least, so that short values are not looked at. The answer for bytes that are not
    MessagePack means nothing; decoding refuses them.
    """
    if sum(map(len, parts)) <= most:
        return False
    for part in parts:
        most -= _count(part, most)
        if most < 0:
            return True
    return False


def has_more_containers(data: bytes, most: int) -> bool:
    """Whether an encoded value has more than ``most`` arrays and maps.

    Those take the most memory for their length. They are counted one by one only if so many bytes might be the first of
    one, which is rare in the results of statements.
    """
    if len(data) <= most or len(data) - len(data.translate(None, _CONTAINERS)) <= most:
        return False
    return _count(data, most, _CONTAINERS) > most


def _count(data: bytes, most: int, counted: bytes = b"") -> int:
    """The number of elements, or ``most + 1`` if there are more. If ``counted`` is given, only those count that begin
    with one of these bytes.
    """
    place = count = 0
    end = len(data)
    while place < end and count <= most:
        if (short := _SHORT.match(data, place, place + most + 1 - count)) is not None:
            count += short.end() - place
            if counted:
                count -= len(short.group().translate(None, counted))
            place = short.end()
            continue
        byte = data[place]
        if size := _FIELD_SIZES[byte]:
            place += int.from_bytes(data[place + 1 : place + 1 + size], "big")
        place += _SIZES[byte]
        count += not counted or byte in counted
    return min(count, most + 1)
