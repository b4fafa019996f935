"""The keys that are made from a secret: one for each purpose, from a form of the secret that is slow to compute.

An attacker who has recorded a handshake, or holds a token, can try secrets until one fits. scrypt (RFC 7914) makes each
attempt cost what it costs this process once: about 50 ms of CPU time and 16 MiB. All processes must arrive at the same
keys and share nothing but the secret, so the salt is a constant.
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from dataclasses import dataclass, field

from ..concurrency.forks import abandon_in_children
from .secret import Secret, Secrets

#: The cost of scrypt: N, r and p. It needs 128 * N * r bytes of memory.
COST, BLOCK_SIZE, PARALLELISM = 2**14, 8, 1
_SALT = b"fly_orm secret, version 2"
_KEY_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys from one secret. Knowing one of them does not help to find the other, or the secret."""

    channel: bytes = field(repr=False)
    """For the handshake and the seals of channels."""
    token: bytes = field(repr=False)
    """For signatures of tokens."""


def keys_of(secrets: Secrets) -> tuple[Keys, ...]:
    """The keys from each secret, in their order. Computed on the first call for a secret, which takes about 50 ms.

    Without a secret, which is possible on one machine only, there is one set of keys, known to everybody.
    """
    return tuple(map(_cache.get, secrets or [Secret("")]))


def hkdf(key: bytes, info: bytes, *, salt: bytes = b"", size: int = _KEY_BYTES) -> bytes:
    """A key for the purpose ``info``, by HKDF-SHA256 (RFC 5869)."""
    pseudorandom = hmac.digest(salt or bytes(32), key, "sha256")
    block = output = b""
    while len(output) < size:
        block = hmac.digest(pseudorandom, block + info + bytes([len(output) // 32 + 1]), "sha256")
        output += block
    return output[:size]


class _Cache:
    """The keys from each secret that this process has used. Thread-safe and fork-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keys: dict[Secret, Keys] = {}
        abandon_in_children(self)

    def get(self, secret: Secret) -> Keys:
        keys = self._keys.get(secret)
        if keys is None:
            with self._lock:  # so that many threads which need it at once compute it once
                keys = self._keys.get(secret) or _derive(secret)
                self._keys[secret] = keys
        return keys

    def abandon(self) -> None:
        self._lock = threading.Lock()
        abandon_in_children(self)


def _derive(secret: Secret) -> Keys:
    stretched = _stretch(secret)
    return Keys(channel=hkdf(stretched, b"fly_orm/channel"), token=hkdf(stretched, b"fly_orm/token"))


def _stretch(secret: Secret) -> bytes:
    if not secret.reveal():
        return b""
    memory = 128 * COST * BLOCK_SIZE
    return hashlib.scrypt(
        secret.reveal().encode(),
        salt=_SALT,
        n=COST,
        r=BLOCK_SIZE,
        p=PARALLELISM,
        maxmem=2 * memory,
        dklen=_KEY_BYTES,
    )


_cache = _Cache()
