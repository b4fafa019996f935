"""Plug-ins are found by entry point."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fly_orm import registry as plugins
from fly_orm.errors import ConfigurationError


def entry(name, distribution="one", load=lambda: object):
    distro = SimpleNamespace(name=distribution, version="1.0")
    return SimpleNamespace(name=name, distro=distro, module_name="module", object_name="Thing", load=load)


def make(*entries):
    return plugins.Registry("some.group", scan=lambda group: entries)


def test_the_shipped_transports_are_found_like_anybodys():
    assert {"inprocess", "pyro5"} <= set(plugins.registry(plugins.TRANSPORTS).names())
    assert plugins.registry(plugins.WAITERS).names() == ["auto", "native", "polling"]
    assert plugins.make_transport("pyro5").is_local("127.0.0.1:1")


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
        plugins.make_transport("a")
