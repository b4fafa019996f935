"""When certificates expire, read from their files.

The module ``ssl`` shows the dates of a certificate only once it has been accepted, which an expired one is not.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

DAY = 86400.0
#: What to do about it.
RENEW = "issue another one with `fly-orm certificates`; it is loaded without a restart"
#: Seconds before a certificate expires in which it is to be renewed, but at most this share of its validity.
NOTICE, _NOTICE_SHARE = 30 * DAY, 1 / 3
_PEM = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([^-]+)-----END ")
#: The tags of ASN.1 that are looked at.
_VERSION, _UTC_TIME = 0xA0, 0x17


@dataclass(frozen=True, kw_only=True)
class Validity:
    """The time in which a certificate is valid, in seconds since 1970."""

    begins: float
    ends: float

    @property
    def renew_at(self) -> float:
        """When it is time to renew it."""
        return self.ends - min(NOTICE, (self.ends - self.begins) * _NOTICE_SHARE)

    def __str__(self) -> str:
        return f"{datetime.fromtimestamp(self.ends, timezone.utc):%Y-%m-%d %H:%M} UTC"


@dataclass(frozen=True, kw_only=True)
class Renewal:
    """A certificate that has expired, or soon will."""

    file: str
    validity: Validity
    is_late: bool
    """Whether it has expired."""

    def __str__(self) -> str:
        if self.is_late:
            return f"the certificate in {self.file} has expired at {self.validity}, so no channel can be opened"
        return f"the certificate in {self.file} expires at {self.validity}"


def chain_validity(path: str) -> Validity | None:
    """That of the certificate in the file, or of one between it and its authority, whichever expires first."""
    return _validity(path, min)


def authority_validity(path: str) -> Validity | None:
    """That of the authority in the file which expires last: the others are those that it replaces."""
    return _validity(path, max)


def _validity(path: str, choose: Callable[..., Validity]) -> Validity | None:
    """None if the file cannot be read."""
    try:
        found = list(_all(Path(path).read_bytes()))
    except (OSError, ValueError, IndexError):
        return None
    return choose(found, key=lambda each: each.ends) if found else None


def _all(pem: bytes) -> Iterable[Validity]:
    for match in _PEM.finditer(pem):
        begins, ends = _dates(b64decode(match[1]))
        yield Validity(begins=begins, ends=ends)


def _dates(der: bytes) -> list[float]:
    """The two dates of a certificate (RFC 5280, section 4.1), of which nothing else is checked here."""
    _, at, _ = _element(der, 0)  # Certificate
    _, at, _ = _element(der, at)  # TBSCertificate
    tag, _, end = _element(der, at)
    for _ in range(4 if tag == _VERSION else 3):  # version, serialNumber, signature, issuer
        at = end
        _, start, end = _element(der, at)
    dates = []
    at = start  # of validity
    for _ in range(2):
        tag, start, at = _element(der, at)
        dates.append(_date(tag, der[start:at].decode("ascii")))
    return dates


def _element(der: bytes, at: int) -> tuple[int, int, int]:
    """The tag of the element at an offset, and where its content begins and ends."""
    length, start = der[at + 1], at + 2
    if length & 0x80:
        size = length & 0x7F
        length, start = int.from_bytes(der[start : start + size], "big"), start + size
    return der[at], start, start + length


def _date(tag: int, text: str) -> float:
    if tag == _UTC_TIME:  # with two digits of the year, from 1950 on
        text = f"{'19' if text >= '5' else '20'}{text}"
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=timezone.utc).timestamp()
