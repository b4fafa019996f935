"""Dates, times, and the time zones that have a name or a fixed offset."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from .errors import CannotEncode, CodecError
from .names import class_name
from .nodes import ENCODERS, Decoder, Encoder, expect, from_node, operands, short_text
from .tags import DATE, DATETIME, TIME, TIMEDELTA, TIMEZONE, ZONE

#: A key is a path below the directory of time zones, so one from another node is checked before it is opened.
_ZONE_KEY = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+){0,3}")
#: No ISO text is longer, nor the key of any time zone.
_MAX_TEXT = 100
_ZONE_ADVICE = "use a datetime.timezone, or a zoneinfo.ZoneInfo that has a key"


def _time_encoder(tag: int) -> Encoder:
    def encode_time(value: Any, depth: int) -> list[Any]:
        zone, fold = value.tzinfo, value.fold
        if zone is None and not fold:
            return [tag, value.isoformat()]
        return [tag, value.replace(tzinfo=None).isoformat(), _zone_to_node(value, zone, depth), fold]

    return encode_time


def _zone_to_node(value: Any, zone: tzinfo | None, depth: int) -> Any:
    if zone is None:
        return None
    try:
        return ENCODERS[type(zone)](zone, depth)
    except CannotEncode as error:
        name = f"{class_name(type(value))} in the zone of a {class_name(type(zone))}"
        raise CannotEncode(f"a {name} cannot travel; {_ZONE_ADVICE}") from error.__cause__


def _time_decoder(parse: Any) -> Decoder:
    def decode_time(node: list[Any], depth: int) -> Any:
        if len(node) == 2:
            return parse(short_text(node, _MAX_TEXT))
        text, zone, fold = operands(node, 3)
        zone = from_node(zone, depth)
        if zone is not None and not isinstance(zone, tzinfo):
            raise CodecError(f"expected a time zone, got a {type(zone).__name__}")
        parsed = parse(short_text([node[0], text], _MAX_TEXT))
        return parsed.replace(tzinfo=zone, fold=expect(fold, int))

    return decode_time


def _encode_timezone(value: timezone, depth: int) -> list[Any]:
    offset, name = value.utcoffset(None), value.tzname(None)
    node = [TIMEZONE, offset.days * 86400 + offset.seconds, offset.microseconds]
    return node if name == timezone(offset).tzname(None) else [*node, name]


def _decode_timezone(node: list[Any], depth: int) -> timezone:
    seconds, microseconds, *name = operands(node, 3 if len(node) == 4 else 2)
    offset = timedelta(seconds=expect(seconds, int), microseconds=expect(microseconds, int))
    return timezone(offset, *(expect(from_node(text, depth), str) for text in name))


def _encode_zone(value: ZoneInfo, depth: int) -> list[Any]:
    key = value.key
    if key is None or not _ZONE_KEY.fullmatch(key):
        raise CannotEncode(f"a zoneinfo.ZoneInfo with the key {key!r:.60} cannot travel; {_ZONE_ADVICE}")
    return [ZONE, key]


def _decode_zone(node: list[Any], depth: int) -> ZoneInfo:
    key = short_text(node, _MAX_TEXT)
    if not _ZONE_KEY.fullmatch(key):
        raise CodecError(f"{key!r:.60} is not a key of a time zone")
    try:
        return ZoneInfo(key)
    except (LookupError, ValueError, OSError) as error:
        raise CodecError(f"this machine does not know the time zone {key!r:.60}") from error


def _decode_timedelta(node: list[Any], depth: int) -> timedelta:
    days, seconds, microseconds = (expect(part, int) for part in operands(node, 3))
    return timedelta(days, seconds, microseconds)


TIME_ENCODERS: dict[type, Encoder] = {
    date: lambda value, depth: [DATE, value.isoformat()],
    time: _time_encoder(TIME),
    datetime: _time_encoder(DATETIME),
    timedelta: lambda value, depth: [TIMEDELTA, value.days, value.seconds, value.microseconds],
    timezone: _encode_timezone,
    ZoneInfo: _encode_zone,
}
TIME_DECODERS: dict[int, Decoder] = {
    DATE: lambda node, depth: date.fromisoformat(short_text(node, _MAX_TEXT)),
    TIME: _time_decoder(time.fromisoformat),
    DATETIME: _time_decoder(datetime.fromisoformat),
    TIMEDELTA: _decode_timedelta,
    TIMEZONE: _decode_timezone,
    ZONE: _decode_zone,
}
