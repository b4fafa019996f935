"""Plug-ins are found by entry point."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fly_orm import registry as plugins
from fly_orm.errors import ConfigurationError
from fly_orm.settings import Settings


def entry(name, distribution="one", load=lambda: object):
    distro = SimpleNamespace(name=distribution, version="1.0")
    return SimpleNamespace(name=name, distro=distro, module_name="module", object_name="Thing", load=load)


def make(*entries):
    return plugins.Registry("some.group", scan=lambda group: entries)


def test_the_shipped_transports_are_found_like_anybodys():
    assert {"inprocess", "pyro5"} <= set(plugins.registry(plugins.TRANSPORTS).names())
    assert plugins.registry(plugins.WAITERS).names() == ["auto", "native", "polling"]
    assert plugins.make_transport("pyro5", Settings()).is_local("127.0.0.1:1")


def test_a_plugin_is_loaded_once():
    loads = []
    registry = make(entry("a", load=lambda: loads.append(1) or object()))
    assert registry.load("a") is registry.load("a")
    assert loads == [1]


def test_an_unknown_name_lists_the_known_ones_and_the_nearest():
    with pytest.raises(ConfigurationError, match=r"'pyro'; did you mean 'pyro5'.*nats, pyro5"):
        make(entry("pyro5"), entry("nats")).load("pyro")


def test_nothing_installed_is_said_so():
    with pytest.raises(ConfigurationError, match="none is installed"):
        make().load("pyro5")


def test_two_distributions_with_one_name_are_both_named():
    with pytest.raises(ConfigurationError, match=r"provided twice, by one 1\.0 .* and two 1\.0"):
        make(entry("a", "one"), entry("a", "two")).load("a")


def test_a_plugin_that_cannot_be_imported_is_reported_with_its_distribution():
    def load():
        raise ImportError("no module named x")

    with pytest.raises(ConfigurationError, match=r"'a' of one 1\.0 \(module:Thing\) cannot be loaded: ImportError"):
        make(entry("a", load=load)).load("a")


def test_a_plugin_of_the_wrong_type_is_refused(monkeypatch):
    monkeypatch.setattr(plugins, "registry", lambda group: make(entry("a", load=lambda: dict)))
    with pytest.raises(ConfigurationError, match=r"makes a dict, which lacks connect, serve, is_local"):
        plugins.make_transport("a", Settings())


class Works:
    """A transport, as far as the registry looks."""

    def connect(self):
        """Never called."""

    serve = is_local = connect


class TakesSettings(Works):
    def __init__(self, settings):
        self.settings = settings


class RaisesTypeError(Works):
    def __init__(self, settings):
        len(1)


class RaisesTypeErrorForNothing(Works):
    def __init__(self):
        len(1)


@pytest.fixture
def register(monkeypatch):
    """Makes a factory the only transport that is installed."""

    def register(factory):
        monkeypatch.setattr(plugins, "registry", lambda group: make(entry("a", load=lambda: factory)))

    return register


def takes_what_it_can_get(*args, **options):
    return TakesSettings(*args, **options)


@pytest.mark.parametrize("factory", [TakesSettings, lambda given=None: TakesSettings(given), takes_what_it_can_get])
def test_a_factory_is_given_the_settings(register, factory):
    register(factory)
    settings = Settings(app="shop", transport_options={"an_option": "1"})
    assert plugins.make_transport("a", settings).settings is settings


@pytest.mark.parametrize("factory", [Works, lambda: Works(), lambda *, option=1: Works()])
def test_a_factory_that_takes_nothing_is_called_without_arguments(register, factory):
    register(factory)
    assert isinstance(plugins.make_transport("a", Settings()), Works)


def test_a_factory_that_takes_nothing_has_no_options(register):
    register(Works)
    with pytest.raises(ConfigurationError, match="this transport has no options"):
        plugins.make_transport("a", Settings(transport_options={"an_option": "1"}))


@pytest.mark.parametrize("factory", [RaisesTypeError, RaisesTypeErrorForNothing])
def test_a_type_error_inside_a_factory_is_reported_as_what_it_is(register, factory):
    register(factory)
    with pytest.raises(ConfigurationError, match=r"cannot be made: TypeError: object of type 'int'") as caught:
        plugins.make_transport("a", Settings())
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize(
    "make_it",
    [
        lambda: plugins.make_adapter("a"),
        lambda: plugins.make_discovery("a", Settings()),
        lambda: plugins.make_waiter("a", lambda: None),
    ],
)
def test_whatever_a_factory_raises_says_which_plugin_is_at_fault(register, make_it):
    def factory(*_arguments):
        raise RuntimeError("not today")

    register(factory)
    with pytest.raises(ConfigurationError, match=r"'a' cannot be made: RuntimeError: not today"):
        make_it()


def test_the_options_are_for_the_transport_that_is_selected():
    settings = Settings(transport="pyro5", transport_options={"max_connections": "many"})
    problems = {plugin.name: problem for plugin, problem in plugins.survey_transports(settings)}
    assert "max_connections='many' is not a whole number" in problems["pyro5"]
    assert problems["inprocess"] is None
