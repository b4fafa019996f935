"""Whatever stands in the environment is a setting, or a ConfigurationError that says what to do."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from fly_orm.errors import ConfigurationError
from fly_orm.settings import Settings
from fly_orm.transport import parse_options
from fly_orm_transports.pyro5.addresses import is_loopback, parse_address
from fly_orm_transports.pyro5.options import Pyro5Options

KNOWN = [f"FLY_ORM_{field.name.upper()}" for field in fields(Settings)]
names = st.sampled_from(KNOWN) | st.text().map("FLY_ORM_{}".format)
addresses = st.from_regex(r"\A(\[?[a-z0-9:.]{1,12}\]?:[0-9]{1,6}[ ,=]?){1,3}\Z")
texts = st.text() | st.text("[]:=, .-0129eEinfanoxyz") | addresses


@given(st.dictionaries(names, texts, max_size=3))
def test_any_environment_is_settings_or_an_error(environment):
    with suppress(ConfigurationError):
        assert isinstance(Settings.from_environment(environment), Settings)


@given(texts)
def test_any_text_is_an_address_or_an_error(text):
    is_loopback(text)
    with suppress(ConfigurationError):
        assert parse_address(str(parse_address(text))) == parse_address(text)


@given(st.dictionaries(st.sampled_from([field.name for field in fields(Pyro5Options)]) | st.text(), texts))
def test_any_options_are_options_or_an_error(options):
    with suppress(ConfigurationError):
        assert isinstance(parse_options(Pyro5Options, options), Pyro5Options)
