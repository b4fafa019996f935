"""Which secrets could be guessed. An estimate that takes a random text for one, but no text that people make up."""

from __future__ import annotations

import re
from functools import lru_cache

from .secret import MAKE_ONE, MIN_LENGTH, Secret, Secrets

#: The least that a secret must be worth, as estimated here. 32 random hexadecimal digits are worth about 100.
MIN_BITS = 60.0
#: What a character is worth if it is part of a word (written English has one to two bits per letter), a digit, a letter
#: that is not part of a word, and anything else, which is mostly used to separate words.
_IN_WORD, _DIGIT, _LETTER, _OTHER = 1.8, 3.3, 4.7, 2.0
#: A word, which may be capitalized, stands on its own or is long. Random texts have short ones only, among digits.
_WORD = re.compile(r"\b(?:[A-Z]?[a-z]+|[A-Z]+)\b|[A-Z]?[a-z]{4,}|[A-Z]{4,}")


def weakness(secrets: Secrets) -> str | None:
    """The end of a sentence that says what is wrong with the secrets, and what to do; None if they are good."""
    if not secrets:
        return f"so FLY_ORM_SECRET must be set, to the same value here and in every other region: {MAKE_ONE}"
    for number, secret in enumerate(secrets, start=1):
        if is_weak(secret):
            which = f"value {number} of FLY_ORM_SECRET" if len(secrets) > 1 else "FLY_ORM_SECRET"
            return f"but {which} could be guessed; use a random one: {MAKE_ONE}"
    return None


@lru_cache(maxsize=16)
def is_weak(secret: Secret) -> bool:
    """Whether the secret is too short, or looks like words, a sequence or a repetition."""
    return len(secret.reveal()) < MIN_LENGTH or _bits(secret) < MIN_BITS


def _bits(secret: Secret) -> float:
    text = _without_repetition(secret.reveal())
    in_words = sum(map(len, _WORD.findall(text.replace("_", "-"))))
    digits, letters = sum(map(str.isdigit, text)), sum(map(str.isalpha, text))
    others = len(text) - digits - letters
    return _IN_WORD * in_words + _LETTER * (letters - in_words) + _DIGIT * digits + _OTHER * others


def _without_repetition(text: str) -> str:
    """The text without characters that follow from those before: in a repetition, or in a sequence such as 4321."""
    kept = ""
    for index, character in enumerate(text):
        before, last_three = text[:index], text[max(0, index - 2) : index] + character
        is_next = before != "" and abs(ord(character) - ord(before[-1])) <= 1
        is_repeated = len(last_three) == 3 and last_three in before
        if not is_next and not is_repeated:
            kept += character
    return kept
