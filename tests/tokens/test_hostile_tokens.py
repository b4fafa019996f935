"""A token says exactly what it was told, and any other text is an InvalidToken."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fly_orm
from fly_orm import InvalidToken
from fly_orm.position import Position
from fly_orm.sessions.context import current
from fly_orm.tokens.signing import sign
from fly_orm.tokens.token import text_of
from tests.support.structs import values_of
from tests.support.two_regions import SECRETS

pytestmark = pytest.mark.usefixtures("configured")
shared_fixture = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@shared_fixture
@given(st.text(min_size=1) | st.text("abcABC019-_.", min_size=1))
def test_any_text_is_refused(text):
    with fly_orm.session():
        with pytest.raises(InvalidToken):
            fly_orm.resume(text)
        assert text_of(current()) == ""


@shared_fixture
@given(st.binary(max_size=60))
def test_anything_that_was_signed_is_read_or_refused(payload):
    with fly_orm.session(), suppress(InvalidToken):
        fly_orm.resume(sign(payload, SECRETS))


@shared_fixture
@given(st.dictionaries(st.text(min_size=1, max_size=8), values_of(Position).filter(lambda told: not told.is_unknown)))
def test_a_session_resumes_exactly_what_another_one_has_seen(told):
    with fly_orm.session():
        for database, position in told.items():
            current().watermarks.merge(database, position)
        text = text_of(current())
    with fly_orm.session():
        fly_orm.resume(text)
        assert current().watermarks.positions() == told


@shared_fixture
@given(st.integers(0, 10**6), st.sampled_from("abcXYZ019-_."))
def test_an_altered_token_is_refused(place, letter):
    text = sign(b"\x92\x80\x80", SECRETS)
    altered = text[: place % len(text)] + letter + text[place % len(text) + 1 :]
    with fly_orm.session():
        if altered != text:
            with pytest.raises(InvalidToken):
                fly_orm.resume(altered)
