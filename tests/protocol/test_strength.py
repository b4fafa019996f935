"""Secrets that people make up are told from random ones, and none of them is shown."""

from __future__ import annotations

import base64
import random
import uuid

import pytest

from fly_orm.protocol.secret import Secret, Secrets
from fly_orm.protocol.strength import is_weak, weakness


@pytest.mark.parametrize(
    "text",
    [
        "short",
        "Zk4vT9qLm2Xw7Rb",  # random, but too short
        "a" * 16,
        "ab" * 40,
        "changeme" * 5,
        "0123456789abcdef" * 2,
        "98765432109876543210",
        "correct-horse-battery-staple",
        "MyCompany-Production-2024",
        "supersecretpassword123",
        "P4ssw0rd!P4ssw0rd!P4ssw0rd!",
    ],
)
def test_what_people_make_up_is_weak(text):
    assert is_weak(Secret(text))
    assert text not in str(weakness(Secrets(text)))


RANDOM = {
    "openssl rand -hex 16": lambda numbers: numbers.randbytes(16).hex(),
    "openssl rand -hex 32": lambda numbers: numbers.randbytes(32).hex(),
    "openssl rand -base64 24": lambda numbers: base64.b64encode(numbers.randbytes(24)).decode(),
    "token_urlsafe(32)": lambda numbers: base64.urlsafe_b64encode(numbers.randbytes(32)).decode().rstrip("="),
    "uuid4": lambda numbers: str(uuid.UUID(bytes=numbers.randbytes(16), version=4)),
}


@pytest.mark.parametrize("make", RANDOM.values(), ids=RANDOM)
def test_what_is_random_is_not(make):
    numbers = random.Random(1)
    made = [make(numbers) for _ in range(500)]
    assert not [text for text in made if is_weak(Secret(text))]


def test_a_long_phrase_is_not():
    assert not is_weak(Secret("quarterly-mango-pencil-staple-river-otter-lamp-canoe"))


def test_a_secret_shows_nothing_of_itself():
    secret = Secret("0123456789abcdef")
    shown = f"{secret} {secret!r} {Secrets('0123456789abcdef')} {[secret]}"
    assert "0123" not in shown
    assert shown == "Secret(***) Secret(***) Secrets(***) [Secret(***)]"
