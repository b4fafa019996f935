"""Dates, times, and the time zones that can be named."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from .kinds import DATE, DATETIME, TIME, TIMEDELTA, TIMEZONE, ZONE
from .names import class_name
from .tree import PACKERS, Packer, Unpacker, expect, operand, operands, unpack
from .unsupported import CodecError, Refusal

#: A key is a path below the directory of zones, so a stranger's is looked at before it is opened.
_ZONE_KEY = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+){0,3}")
_ZONE_ADVICE = "use a datetime.timezone, or a zoneinfo.ZoneInfo that has a key"


def _pack_time(kind: int) -> Packer:
    def pack_time(value: Any, depth: int) -> list[Any]:
        zone, fold = value.tzinfo, value.fold
        if zone is None and not fold:
            return [kind, value.isoformat()]
        return [kind, value.replace(tzinfo=None).isoformat(), _pack_zone_of(value, zone, depth), fold]

    return pack_time


def _pack_zone_of(value: Any, zone: tzinfo | None, depth: int) -> Any:
    if zone is None:
        return None
    try:
        return PACKERS[type(zone)](zone, depth)
    except Refusal as refusal:
        name = f"{class_name(type(value))} in the zone of a {class_name(type(zone))}"
        raise Refusal(f"a {name} cannot travel; {_ZONE_ADVICE}") from refusal.__cause__


def _unpack_time(make: Any) -> Unpacker:
    def unpack_time(node: list[Any], depth: int) -> Any:
        if len(node) == 2:
            return make(operand(node, str))
        text, zone, fold = operands(node, 3)
        zone = unpack(zone, depth)
        if zone is not None and not isinstance(zone, tzinfo):
            raise CodecError("a time zone is none")
        return make(expect(text, str)).replace(tzinfo=zone, fold=expect(fold, int))

    return unpack_time


def _pack_timezone(value: timezone, depth: int) -> list[Any]:
    offset, name = value.utcoffset(None), value.tzname(None)
    node = [TIMEZONE, offset.days * 86400 + offset.seconds, offset.microseconds]
    return node if name == timezone(offset).tzname(None) else [*node, name]


def _unpack_timezone(node: list[Any], depth: int) -> timezone:
    seconds, microseconds, *name = operands(node, 3 if len(node) == 4 else 2)
    offset = timedelta(seconds=expect(seconds, int), microseconds=expect(microseconds, int))
    return timezone(offset, *(expect(unpack(text, depth), str) for text in name))


def _pack_zone(value: ZoneInfo, depth: int) -> list[Any]:
    key = value.key
    if key is None or not _ZONE_KEY.fullmatch(key):
        raise Refusal(f"a zoneinfo.ZoneInfo with the key {key!r:.60} cannot travel; {_ZONE_ADVICE}")
    return [ZONE, key]


def _unpack_zone(node: list[Any], depth: int) -> ZoneInfo:
    key = operand(node, str)
    if not _ZONE_KEY.fullmatch(key):
        raise CodecError(f"{key!r:.60} is no key of a time zone")
    try:
        return ZoneInfo(key)
    except (LookupError, ValueError, OSError) as error:
        raise CodecError(f"time zone {key!r:.60} is not known here") from error


def _unpack_timedelta(node: list[Any], depth: int) -> timedelta:
    days, seconds, microseconds = (expect(part, int) for part in operands(node, 3))
    return timedelta(days, seconds, microseconds)


TIMES: dict[type, Packer] = {
    date: lambda value, depth: [DATE, value.isoformat()],
    time: _pack_time(TIME),
    datetime: _pack_time(DATETIME),
    timedelta: lambda value, depth: [TIMEDELTA, value.days, value.seconds, value.microseconds],
    timezone: _pack_timezone,
    ZoneInfo: _pack_zone,
}
TIME_KINDS: dict[int, Unpacker] = {
    DATE: lambda node, depth: date.fromisoformat(operand(node, str)),
    TIME: _unpack_time(time.fromisoformat),
    DATETIME: _unpack_time(datetime.fromisoformat),
    TIMEDELTA: _unpack_timedelta,
    TIMEZONE: _unpack_timezone,
    ZONE: _unpack_zone,
}
