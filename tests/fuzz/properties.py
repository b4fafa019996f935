"""The tests that say what is true of any bytes, text and values that others send."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from hypothesis import given

from tests.support import ROOT

#: The modules with tests by Hypothesis that need no server.
MODULES = (
    "tests.classify.test_classifier",
    "tests.classify.test_lexer",
    "tests.codec.test_hostile_bytes",
    "tests.codec.test_values",
    "tests.protocol.test_hostile_handshakes",
    "tests.protocol.test_hostile_messages",
    "tests.test_hostile_settings",
    "tests.tokens.test_hostile_tokens",
    "tests.transports.pyro5.test_hostile_frames",
    "test_hostile_frames",  # of the NATS plug-in
)


def properties() -> dict[str, Callable[[bytes], object]]:
    """By the name of each test, what runs it with the values that Hypothesis makes of some bytes."""
    sys.path.append(str(ROOT / "plugins" / "fly-orm-nats" / "tests"))
    return {
        f"{module.__name__}:{name}": _runner(owner, test)
        for module in map(import_module, MODULES)
        for owner, name, test in _tests(module)
    }


def _tests(module: Any) -> Iterator[tuple[Any, str, Any]]:
    classes = [each for name, each in vars(module).items() if name.startswith("Test")]
    for owner in (module, *classes):
        for name, test in vars(owner).items():
            if name.startswith("test_") and hasattr(test, "hypothesis"):
                yield owner, name, test


def _runner(owner: Any, test: Any) -> Callable[[bytes], object]:
    handle = test.hypothesis
    if not inspect.isclass(owner):
        return handle.fuzz_one_input

    def of_an_instance(**values: Any) -> None:
        handle.inner_test(owner(), **values)

    return given(**handle._given_kwargs)(of_an_instance).hypothesis.fuzz_one_input
