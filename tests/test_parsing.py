"""What users write becomes values, or an error that says what to write."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from fly_orm.errors import ConfigurationError
from fly_orm.parsing import suggestion
from fly_orm.transport import parse_options


@dataclass(frozen=True, kw_only=True)
class Options:
    name: str = "x"
    size: int = 1
    ratio: float = 0.5
    fast: bool = False
    timeout: float | None = 5.0

    def __post_init__(self):
        if self.size < 1:
            raise ValueError(f"size must be 1 or more, not {self.size}")


def test_options_have_defaults():
    assert parse_options(Options, {}) == Options()


def test_options_are_read_by_their_types():
    texts = {"name": "a b", "size": "2", "ratio": "1e-3", "fast": "on", "timeout": "none"}
    assert parse_options(Options, texts) == Options(name="a b", size=2, ratio=0.001, fast=True, timeout=None)


def test_options_may_be_given_as_values():
    given = {"size": 2, "ratio": 2, "fast": True, "timeout": 1.5}
    assert parse_options(Options, given) == Options(size=2, ratio=2.0, fast=True, timeout=1.5)


@pytest.mark.parametrize(
    ("option", "value", "problem"),
    [
        ("size", "many", "size='many' is not a whole number"),
        ("size", "1.5", "size='1.5' is not a whole number"),
        ("size", "0", "size must be 1 or more, not 0"),
        ("ratio", "half", "ratio='half' is not a number"),
        ("fast", "very", "fast='very' is neither 'on' nor 'off'"),
        ("timeout", "-1", "timeout='-1' is not a timeout"),
        ("timeout", "nan", "timeout='nan' is not a timeout"),
    ],
)
def test_a_value_that_an_option_cannot_take_is_refused(option, value, problem):
    with pytest.raises(ConfigurationError, match=f"FLY_ORM_TRANSPORT_OPTIONS: {problem}"):
        parse_options(Options, {option: value})


def test_an_unknown_option_is_refused_with_the_nearest_one_and_all():
    with pytest.raises(ConfigurationError, match=r"no option 'sise'; did you mean 'size'\? Known: fast, name"):
        parse_options(Options, {"sise": "1"})


def test_a_transport_may_have_no_options():
    @dataclass(frozen=True, kw_only=True)
    class NoOptions:
        pass

    assert parse_options(NoOptions, {}) == NoOptions()
    with pytest.raises(ConfigurationError, match="no option 'size', as this transport has no options"):
        parse_options(NoOptions, {"size": "1"})


def test_the_nearest_name_is_suggested():
    assert suggestion("pyro", ["nats", "pyro5"]) == "did you mean 'pyro5'? Known: nats, pyro5"
