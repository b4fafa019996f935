"""Dependencies point one way, and each foreign thing has one place."""

from __future__ import annotations

import re
from graphlib import CycleError, TopologicalSorter

import pytest

from tests.project.sources import CODE, distributed, imports, modules, where
from tests.support import ROOT
from tests.support.environments import SOURCES

#: From the top down: a module imports only what stands below its own line, or on it.
LAYERS = [
    ("__main__",),
    ("cli",),
    ("web", "supervising"),
    ("serving",),
    ("checking", "prometheus", "otel"),
    ("tokens", "functions", "wrapping"),
    ("adapters",),
    ("driver",),
    ("routing",),
    ("local", "runtime"),
    ("forwarding",),
    ("sessions", "waiters", "registry"),
    ("discovery", "codec"),
    ("ledger", "findings", "sharing"),
    ("postgres", "settings", "observing"),
    ("classify",),
    ("protocol",),
    ("transport", "waiter", "position"),
    ("concurrency", "parsing"),
    ("lsn", "deadline", "topology", "errors"),
]
LEVEL = {name: level for level, names in enumerate(reversed(LAYERS)) for name in names}
DISTRIBUTED = distributed()
#: The two sides of a request meet only in its messages.
STRANGERS = [({"forwarding"}, {"serving", "postgres"})]


def concept(module):
    """The part of fly_orm that a module belongs to; None for the package itself and for others."""
    parts = module.split(".")
    return parts[1] if parts[0] == "fly_orm" and len(parts) > 1 else None


def core_imports():
    for path in modules("fly_orm"):
        own = path.relative_to(ROOT / "fly_orm").parts[0].removesuffix(".py")
        if own in ("__init__", "testing"):
            continue
        for module in imports(path):
            if (other := concept(module)) is not None and other != own:
                yield own, other


def test_every_module_has_its_layer():
    names = {path.relative_to(ROOT / "fly_orm").parts[0].removesuffix(".py") for path in modules("fly_orm")}
    assert names - {"__init__", "testing"} == set(LEVEL)


def test_imports_point_downwards():
    wrong = {(own, other) for own, other in core_imports() if LEVEL[other] > LEVEL[own]}
    assert not wrong


def test_no_modules_import_each_other_in_a_circle():
    """Not even for the type checker alone: what needs each other is one thing, or has a third one in it."""
    graph = {name: imported(path) - {name} for name, path in DISTRIBUTED.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def imported(path):
    """The modules of this repository that a file imports."""
    source = next(source for source in reversed(SOURCES) if source in path.parents)
    found = {name if name in DISTRIBUTED else name.rpartition(".")[0] for name in imports(path, source)}
    return found & DISTRIBUTED.keys()


def test_the_two_sides_of_a_request_do_not_know_each_other():
    for ours, theirs in STRANGERS:
        assert not {(own, other) for own, other in core_imports() if own in ours and other in theirs}


@pytest.mark.parametrize(
    ("foreign", "allowed"),
    [
        ("peewee", {"fly_orm/adapters/peewee"}),
        ("playhouse", {"fly_orm/testing/served.py"}),
        ("pony", {"fly_orm/adapters/pony"}),
        ("Pyro5", {"fly_orm_transports/pyro5"}),
        ("dns", {"fly_orm/discovery"}),
        ("entrypoints", {"fly_orm/registry.py"}),
        ("itsdangerous", {"fly_orm/tokens/signing.py"}),
        ("opentelemetry", {"fly_orm/otel"}),
        ("prometheus_client", {"fly_orm/prometheus"}),
        ("pytest", {"fly_orm/testing/contract", "fly_orm/testing/pytest_plugin.py"}),
        ("fly_orm_transports", {"fly_orm_transports"}),
        ("time", {"fly_orm/deadline.py", "fly_orm/testing"}),
        ("datetime", {"fly_orm/codec", "fly_orm/cli/issuing.py", "fly_orm/protocol/expiry.py"}),
        ("cryptography", {"fly_orm/cli/issuing.py"}),
    ],
)
def test_each_foreign_package_is_imported_in_one_place(foreign, allowed):
    found = {where(path) for path in modules(*CODE) if any(module.split(".")[0] == foreign for module in imports(path))}
    assert {name for name in found if not any(name.startswith(place) for place in allowed)} == set()


def test_only_the_adapters_know_an_orm():
    places = [ROOT / "fly_orm" / "wrapping.py", *(ROOT / "fly_orm" / "codec").rglob("*.py")]
    assert {str(path) for path in places if re.search("peewee|pony", path.read_text(), re.IGNORECASE)} == set()


def test_the_environment_is_read_in_one_place():
    """The testing package reads PG_BIN as well, once, and makes the environments of other processes."""
    readers = {
        where(path)
        for path in modules(*CODE)
        if any(f"os.{name}" in path.read_text() for name in ("environ", "getenv"))
    }
    testing = {f"fly_orm/testing/{name}.py" for name in ("binaries", "environment", "served")}
    assert readers <= {"fly_orm/settings.py"} | testing


def test_what_callers_share_with_other_threads_survives_an_interrupt():
    """See ``fly_orm/concurrency/latch.py``. What is used elsewhere, no thread of an application waits for."""
    elsewhere = ("fly_orm/cli/", "fly_orm/serving/", "fly_orm/testing/", "fly_orm_transports/inprocess/link.py")
    fragile = re.compile(r"threading\.(Event|Condition|(Bounded)?Semaphore|Barrier)\b(?!`)|import .*\bFuture\b")
    code = modules(*CODE, "plugins/fly-orm-nats/fly_orm_nats")
    found = {where(path) for path in code if fragile.search(path.read_text())}
    assert {path for path in found if not path.startswith(elsewhere)} == set()
