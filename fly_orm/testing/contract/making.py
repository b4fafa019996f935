"""The factory: what it accepts, and what it makes."""

from __future__ import annotations

import pytest

from fly_orm.errors import ConfigurationError
from fly_orm.registry import build_transport
from fly_orm.settings import Settings

from .setting import Setting
from .tools import Node, ask


class Making(Setting):
    """What holds for the factory, which the core calls with the settings if it takes an argument."""

    def test_the_factory_accepts_the_settings(self, node: Node) -> None:
        settings = Settings(app="shop", transport_options=self.options)
        node.transport = build_transport(self.transport, settings)
        assert ask(node.serve().connect(), b"hello") == b"hello"

    def test_an_option_that_the_transport_does_not_have_is_a_configuration_error(self) -> None:
        settings = Settings(transport_options={**self.options, "no_such_option": "1"})
        with pytest.raises(ConfigurationError, match=r"no_such_option|no options"):
            build_transport(self.transport, settings)
