"""Texts that are signed with a key made from the application's secret, and the time at which they were signed."""

from __future__ import annotations

import hashlib
from typing import Any

from ..errors import ConfigurationError, InvalidToken
from ..protocol.keys import keys_of
from ..protocol.secret import MAKE_ONE, Secrets

#: Longer texts are refused before their signature is computed.
MAX_LENGTH = 65536
_SALT = "fly_orm.token"


def check_can_sign(secrets: Secrets) -> None:
    """Raise ConfigurationError if this process cannot sign anything."""
    _signer_class(secrets)


def can_sign(secrets: Secrets) -> bool:
    """Whether this process can sign and verify."""
    try:
        check_can_sign(secrets)
    except ConfigurationError:
        return False
    return True


def sign(payload: bytes, secrets: Secrets) -> str:
    """A URL-safe text with the payload, the time and a signature. ConfigurationError if it cannot be signed."""
    signer = _signer(secrets)
    from itsdangerous.encoding import base64_encode

    signed: bytes = signer.sign(base64_encode(payload))
    return signed.decode()


def unsign(text: str, secrets: Secrets, max_age: float | None) -> tuple[bytes, float]:
    """The payload of a text, and its age in seconds.

    InvalidToken if the text was not signed with one of the secrets, or is older than ``max_age`` seconds (None is no
    limit).
    """
    signer = _signer(secrets)
    from itsdangerous import BadData
    from itsdangerous.encoding import base64_decode

    if len(text) > MAX_LENGTH:
        raise InvalidToken(f"the token is longer than {MAX_LENGTH} characters", reason="malformed")
    try:
        encoded, signed_at = signer.unsign(text, return_timestamp=True)
        payload: bytes = base64_decode(encoded)
    except (BadData, ValueError):  # ValueError if the text is not ASCII
        raise InvalidToken(
            "the token was altered, or signed with another FLY_ORM_SECRET than that of this process", reason="forged"
        ) from None
    age: float = max(signer.get_timestamp() - signed_at.timestamp(), 0.0)  # the clocks of two machines differ
    if max_age is not None and age > max_age:
        raise InvalidToken(
            f"the token was signed {age:.0f} s ago, which is more than the limit of {max_age:g} s", reason="expired"
        )
    return payload, age


def _signer(secrets: Secrets) -> Any:
    signer_class = _signer_class(secrets)
    oldest_first = [keys.token for keys in reversed(keys_of(secrets))]  # the last one signs, and all verify
    return signer_class(oldest_first, salt=_SALT, key_derivation="hmac", digest_method=hashlib.sha256)


def _signer_class(secrets: Secrets) -> Any:
    if not secrets:
        raise ConfigurationError(f"tokens are signed: set FLY_ORM_SECRET to the same value everywhere; {MAKE_ONE}")
    try:
        from itsdangerous import TimestampSigner
    except ImportError:
        raise ConfigurationError(
            "tokens are signed with itsdangerous, which is not installed: pip install 'itsdangerous>=2.1.2,<3'"
        ) from None
    return TimestampSigner
