"""The files in deploy/ and the pages about deployment agree with each other, and with fly_orm."""

from __future__ import annotations

import configparser
import re
import shlex
import subprocess
from itertools import chain

import pytest
import yaml

from fly_orm.cli.command_line import make_parser
from fly_orm.serving import node, readiness
from fly_orm.settings import VARIABLES, Settings
from tests.project.test_snippets import snippet
from tests.support import ROOT
from tests.support.two_regions import SECRET

try:
    import tomllib
except ImportError:  # Python 3.10
    tomllib = None  # type: ignore[assignment]

PAGES = sorted((ROOT / "docs" / "deploy").glob("*.md"))
FILES = sorted(path for path in (ROOT / "deploy").rglob("*") if path.is_file())
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
COMPOSE = ROOT / "deploy" / "compose" / "compose.yaml"
MANIFESTS = sorted((ROOT / "deploy" / "kubernetes").rglob("*.yaml"))
#: Seconds that a platform has to give a node, at least, before it kills it.
STOPPING = node.DRAIN_TIMEOUT + 5


def documents(path):
    return list(yaml.safe_load_all(path.read_text()))


def parsed(command):
    """What the command line makes of a command that begins with fly-orm; SystemExit if it does not understand it."""
    return make_parser().parse_args(shlex.split(command, comments=True)[1:])


def serves(command):
    """The ports of a node that a command starts, the one for HTTP last."""
    options = parsed(command)
    return [int(address.rpartition(":")[2]) for address in (options.listen, options.http) if address]


#: A command that begins with fly-orm, and what it is enclosed in.
_COMMAND = re.compile(r"""(?:(?P<mark>['"`])|(?P<inner>\$\()|(?:^|[ /]))(?P<command>fly-orm (?!with)[a-z].*)""")


def commands_of(text):
    """All commands in a page that begin with fly-orm."""
    for match in filter(None, map(_COMMAND.search, text.splitlines())):
        end = match["mark"] or (match["inner"] and ")")
        yield match["command"].split(end)[0] if end else match["command"]


def test_every_command_of_the_pages_is_understood():
    blocks = [
        block for page in PAGES for block in re.findall(r"^ *```\w*\n(.*?)```", page.read_text(), re.DOTALL | re.M)
    ]
    commands = list(chain.from_iterable(map(commands_of, blocks)))
    assert len(commands) > 6
    for command in commands:
        assert parsed(command).command, command


def test_every_variable_exists():
    text = "\n".join(path.read_text() for path in [*PAGES, *FILES])
    named = {re.sub("FLYORM_", "FLY_ORM_", name) for name in re.findall(r"\bFLY_?ORM_[A-Z_]+\b", text)}
    assert named
    assert named <= set(VARIABLES)


@pytest.mark.skipif(tomllib is None, reason="needs tomllib, of Python 3.11")
def test_the_fly_toml_fits_the_node():
    toml = tomllib.loads(snippet("deploy/fly.md", "toml", "app ="))
    assert toml["kill_timeout"] >= STOPPING
    check = toml["checks"]["node"]
    [http] = serves(toml["processes"]["node"])
    assert http == check["port"]
    assert not [name for name in toml["env"] if name.startswith("FLY_")]  # which Fly.io refuses
    assert Settings.from_environment(toml["env"]).listen == f"[::]:{Settings.listen.rpartition(':')[2]}"
    assert check["path"] == "/readyz"
    assert toml["metrics"] == [{"processes": ["node"], "port": http, "path": "/metrics"}]
    assert float(check["timeout"].rstrip("s")) > readiness.ANSWER_TIMEOUT
    assert {*check["processes"], *toml["http_service"]["processes"]} == set(toml["processes"])
    assert f":{toml['http_service']['internal_port']} " in toml["processes"]["app"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_the_units_of_systemd_are_well_formed(unit):
    parser = configparser.ConfigParser(interpolation=None, strict=True)
    parser.optionxform = str
    parser.read(unit)
    service = parser["Service"]
    assert int(service["TimeoutStopSec"]) >= STOPPING
    assert service["EnvironmentFile"] == "/etc/shop.env"
    command = service["ExecStart"].removeprefix("/srv/shop/.venv/bin/")
    if command.startswith("fly-orm"):
        assert serves(command) == [8081]


def test_the_environment_of_the_units_is_a_set_up():
    lines = (ROOT / "deploy" / "systemd" / "shop.env").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    settings = Settings.from_environment(
        {name: value.strip('"') for name, value in variables.items()} | {"FLY_ORM_SECRET": SECRET}
    )
    assert settings.topology.is_primary
    assert settings.listen == settings.nodes["syd"][0].address
    assert set(settings.nodes) == {"syd", "lax"}


def environment_of(service):
    return {name: re.sub(r"^\$\{FLY_ORM_SECRET.*", SECRET, value) for name, value in service["environment"].items()}


def test_the_compose_file_starts_what_it_names():
    [compose] = documents(COMPOSE)
    services = compose["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= set(services), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in compose["volumes"] or (COMPOSE.parent / source).exists(), volume
    for region in ("syd", "lax"):
        for kind in ("node", "web"):
            settings = Settings.from_environment(environment_of(services[f"{kind}-{region}"]))
            assert settings.topology.region == region
            assert {node.address for nodes in settings.nodes.values() for node in nodes} == {
                "node-syd:7654",
                "node-lax:7654",
            }
        serving = services[f"node-{region}"]
        assert serves(serving["command"]) == [8081]
        assert ":8081/readyz" in serving["healthcheck"]["test"][-1]
        assert int(serving["stop_grace_period"].rstrip("s")) >= STOPPING
        assert f"@postgres-{region}:5432/shop" in serving["environment"]["DATABASE_URL"]


@pytest.mark.parametrize("script", sorted(COMPOSE.parent.glob("*.sh")), ids=lambda script: script.stem)
def test_the_scripts_of_compose_are_executable_shell(script):
    assert script.stat().st_mode & 0o111
    subprocess.run(["sh", "-n", script], check=True)


def resources(region):
    """All manifests of a region, as kustomize would put them together, by kind and name."""
    folder = ROOT / "deploy" / "kubernetes" / region
    [kustomization] = documents(folder / "kustomization.yaml")
    found = {}
    for name in kustomization["resources"]:
        path = folder / name
        paths = (
            [path / each for each in documents(path / "kustomization.yaml")[0]["resources"]]
            if path.is_dir()
            else [path]
        )
        for document in chain.from_iterable(map(documents, paths)):
            found[document["kind"], document["metadata"]["name"]] = document
    return kustomization, found


@pytest.mark.parametrize("region", ["syd", "lax"])
def test_the_manifests_of_a_region_fit_together(region):
    kustomization, found = resources(region)
    literals = dict(each.split("=", 1) for each in kustomization["configMapGenerator"][0]["literals"])
    settings = Settings.from_environment({**literals, "FLY_ORM_SECRET": SECRET})
    assert settings.topology.region == region
    assert settings.topology.primary_region == "syd"
    stateful = found["StatefulSet", "node"]["spec"]
    assert len(settings.nodes[region]) == stateful["replicas"]
    for number in range(stateful["replicas"]):
        selector = found["Service", f"node-{number}"]["spec"]["selector"]
        assert selector == {"statefulset.kubernetes.io/pod-name": f"node-{number}"}
    scraped = stateful["template"]["metadata"]["annotations"]
    pod = stateful["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= STOPPING
    [container] = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert serves(shlex.join(container["args"])) == [ports["health"]]
    assert (scraped["prometheus.io/port"], scraped["prometheus.io/path"]) == (str(ports["health"]), "/metrics")
    assert settings.listen.endswith(f":{ports['fly-orm']}")
    for probe, path in (("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "health"}
        assert container[probe]["timeoutSeconds"] > readiness.ANSWER_TIMEOUT
    assert ("Cluster", literals["DB_HOST"].removesuffix("-rw")) in found
    assert (("Job", "migrate") in found) == settings.topology.is_primary


def test_every_manifest_is_part_of_a_region():
    used = set(chain.from_iterable(resources(region)[1] for region in ("syd", "lax")))
    paths = [path for path in MANIFESTS if path.name != "kustomization.yaml"]
    assert used == {(each["kind"], each["metadata"]["name"]) for path in paths for each in documents(path)}


def test_the_roles_of_the_page_about_machines_are_made(cluster):
    """All but the settings of the server, which other tests use."""
    statements = snippet("deploy/machines.md", "sql", "CREATE ROLE").split(";\n")
    sql = [statement for statement in statements if "ALTER SYSTEM" not in statement]
    undo = [
        "SELECT pg_drop_replication_slot('lax')",
        "DROP DATABASE IF EXISTS shop",
        "DROP ROLE IF EXISTS replicator, shop",
    ]
    try:
        for statement in filter(None, sql):
            cluster.primary.query(statement)
        assert cluster.primary.query("SELECT pg_has_role('shop', 'pg_read_all_stats', 'USAGE')")
        cluster.primary.query(snippet("deploy/machines.md", "sql", "SELECT application_name"))
    finally:
        for statement in undo:
            cluster.primary.query(statement)
