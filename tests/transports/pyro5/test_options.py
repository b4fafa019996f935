"""How much a server lets its peers take up."""

from __future__ import annotations

import pytest

from fly_orm import serve
from fly_orm.errors import ConfigurationError
from fly_orm.registry import make_transport
from fly_orm.runtime.runtime import Runtime
from fly_orm.settings import Settings
from fly_orm_transports.pyro5 import Pyro5Options


def make(**options):
    return make_transport("pyro5", Settings(transport_options=options))


def test_the_defaults_are_these():
    assert Pyro5Options() == Pyro5Options(max_connections=256, max_strangers=1024, max_strangers_per_network=1024)


def test_the_options_come_from_the_environment():
    text = "max_connections=3 max_strangers=2"
    settings = Settings.from_environment({"FLY_ORM_TRANSPORT_OPTIONS": text})
    transport = make_transport(settings.transport, settings)
    assert transport._options == Pyro5Options(max_connections=3, max_strangers=2)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"max_conections": "3"}, "no option 'max_conections'; did you mean 'max_connections'"),
        ({"max_connections": "0"}, "max_connections must be 1 or more, not 0"),
        ({"max_strangers": "0"}, "max_strangers must be 1 or more, not 0"),
        ({"max_strangers_per_network": "-1"}, "max_strangers_per_network must be 1 or more, not -1"),
    ],
)
def test_options_that_cannot_be_are_refused(options, problem):
    with pytest.raises(ConfigurationError, match=problem):
        make(**options)


@pytest.mark.parametrize(
    "use", [lambda settings: Runtime(settings).forwarder, lambda settings: serve(settings=settings)]
)
def test_the_settings_that_are_given_are_those_of_the_transport(use):
    with pytest.raises(ConfigurationError, match="no option 'nonsense'"):
        use(Settings(transport_options={"nonsense": "1"}))
