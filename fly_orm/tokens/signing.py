"""Texts that only who holds the application's secret can have written."""

from __future__ import annotations

import hashlib
from typing import Any

from ..errors import ConfigurationError, InvalidToken

#: Longer texts are not looked at.
MAX_LENGTH = 65536
_SALT = "fly_orm.token"


def check_can_sign(secret: str) -> None:
    """ConfigurationError if nothing can be signed here."""
    _signer(secret)


def sign(payload: bytes, secret: str) -> str:
    """A URL-safe text with this payload and the present time; ConfigurationError if nothing can be signed here."""
    signer = _signer(secret)
    from itsdangerous.encoding import base64_encode

    signed: bytes = signer.sign(base64_encode(payload))
    return signed.decode()


def unsign(text: str, secret: str, max_age: float | None) -> tuple[bytes, float]:
    """The payload of a text, and how many seconds ago it was signed; InvalidToken if that is more than ``max_age``."""
    signer = _signer(secret)
    from itsdangerous import BadData
    from itsdangerous.encoding import base64_decode

    if len(text) > MAX_LENGTH:
        raise InvalidToken(f"the token is longer than {MAX_LENGTH} characters", reason="malformed")
    try:
        encoded, signed_at = signer.unsign(text, return_timestamp=True)
        payload: bytes = base64_decode(encoded)
    except (BadData, ValueError):  # a ValueError for what is no ASCII
        raise InvalidToken(
            "the token was altered, or signed with another FLY_ORM_SECRET than this process has", reason="forged"
        ) from None
    age: float = max(signer.get_timestamp() - signed_at.timestamp(), 0.0)  # clocks differ
    if max_age is not None and age > max_age:
        raise InvalidToken(f"the token was signed {age:.0f} s ago, and {max_age:g} s is the limit", reason="expired")
    return payload, age


def _signer(secret: str) -> Any:
    if not secret:
        raise ConfigurationError(
            "tokens are signed: set FLY_ORM_SECRET, the same everywhere (for instance from `openssl rand -hex 32`)"
        )
    try:
        from itsdangerous import TimestampSigner
    except ImportError:
        raise ConfigurationError("tokens are signed by itsdangerous: pip install 'fly-orm[tokens]'") from None
    return TimestampSigner(secret, salt=_SALT, key_derivation="hmac", digest_method=hashlib.sha256)
