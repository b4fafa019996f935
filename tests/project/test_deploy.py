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

#: Every page of the project.
EVERY_PAGE = [ROOT / "README.md", *sorted(ROOT.glob("plugins/*/README.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = sorted((ROOT / "docs" / "deploy").glob("*.md"))
FILES = sorted(path for path in (ROOT / "deploy").rglob("*") if path.is_file())
UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
COMPOSE = ROOT / "deploy" / "compose" / "compose.yaml"
KUBERNETES = ROOT / "deploy" / "kubernetes"
MANIFESTS = sorted(KUBERNETES.rglob("*.yaml"))
REGIONS = ("syd", "lax")
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
    assert [(ROOT / path).is_file() for path in toml["build"].values()] == [True, True]
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


def test_the_commands_for_fly_start_what_the_page_promises():
    """`fly scale count` counts the machines of all the regions that it is given, so each command may name only one."""
    commands = snippet("deploy/fly.md", "console", "$ fly secrets set --stage FLY_ORM_SECRET").splitlines()
    assert "$ fly deploy --ha=false" in commands
    scaled = [re.match(r"\$ fly scale count (\d) --process-group (\w+) --region (\S+)$", line) for line in commands]
    counts = {(match[2], match[3]): int(match[1]) for match in filter(None, scaled)}
    assert counts == {("app", "syd"): 1, ("app", "lax"): 1, ("node", "syd"): 2, ("node", "lax"): 1}


def test_the_role_that_fly_makes_may_see_how_far_replicas_are():
    commands = snippet("deploy/fly.md", "console", "$ fly apps create shop").splitlines()
    assert (
        commands.index("postgres=# GRANT pg_read_all_stats TO shop;")
        == commands.index("$ fly postgres connect --app shop-db") + 1
    )


def exported(block):
    """The variables that the commands of a block export."""
    words = chain.from_iterable(
        shlex.split(line.removeprefix("$ export "), comments=True)
        for line in block.splitlines()
        if line.startswith("$ export ")
    )
    return dict(word.split("=", 1) for word in words)


def set_ups():
    """What is exported in each block that lists nodes, with the page's name."""
    for page in EVERY_PAGE:
        for block in re.findall(r"^```console\n(.*?)^```", page.read_text(), re.DOTALL | re.M):
            if "FLY_ORM_NODES" in (variables := exported(block)):
                yield str(page.relative_to(ROOT)), variables


def test_a_page_that_lists_nodes_lets_them_listen_there():
    found = list(set_ups())
    assert {"README.md", "plugins/fly-orm-django/README.md", "plugins/fly-orm-sqlalchemy/README.md"} <= {
        page for page, _ in found
    }
    for page, variables in found:
        settings = Settings.from_environment({**variables, "FLY_ORM_SECRET": SECRET})
        ports = {node.address.rpartition(":")[2] for node in chain.from_iterable(settings.nodes.values())}
        assert f"[::]:{ports.pop()}" == settings.listen, page
        assert not ports, page
        assert {settings.topology.region, settings.topology.primary_region} <= set(settings.nodes), page


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


def test_no_secret_gets_into_the_image():
    dockerfile = ROOT / "deploy" / "Dockerfile"
    copied = re.findall(r"^COPY (.*) \S+$", dockerfile.read_text(), re.MULTILINE)
    assert " ".join(copied).split() == ["requirements.txt", "*.whl", "shop"]
    ignored = dockerfile.with_name("Dockerfile.dockerignore").read_text().splitlines()
    assert {"**/.env*", "**/*.key", "**/*.pem"} <= set(ignored)
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_compose_builds_with_the_dockerfile_in_the_folder_that_the_page_has_copied():
    [compose] = documents(COMPOSE)
    [build] = {tuple(each["build"].items()) for each in compose["services"].values() if "build" in each}
    context = COMPOSE.parent / dict(build)["context"]
    assert context.resolve() == ROOT
    assert (context / dict(build)["dockerfile"]).is_file()
    assert "$ cp -r deploy /path/to/shop/" in snippet("deploy/containers.md", "console", "$ cp")
    assert "$ cd /path/to/shop/deploy/compose" in snippet("deploy/containers.md", "console", "$ cd")
    names = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    assert names == {"FLY_ORM_SECRET", "POSTGRES_PASSWORD"}


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


def resources(folder):
    """All manifests of a folder, as kustomize would put them together, by kind and name."""
    [kustomization] = documents(KUBERNETES / folder / "kustomization.yaml")
    found = {}
    for name in kustomization["resources"]:
        if (KUBERNETES / folder / name).is_dir():
            found |= resources(f"{folder}/{name}")
        else:
            each = documents(KUBERNETES / folder / name)
            found |= {(document["kind"], document["metadata"]["name"]): document for document in each}
    return found


def variables_of(folder):
    """The variables that the settings of a folder give to all of its containers."""
    [kustomization] = documents(KUBERNETES / folder / "kustomization.yaml")
    [settings] = kustomization["components"]
    [component] = documents(KUBERNETES / folder / settings / "kustomization.yaml")
    assert component["kind"] == "Component"
    assert [image["name"] for image in component["images"]] == ["shop"]
    [generated] = component["configMapGenerator"]
    assert generated["name"] == "region"
    return dict(each.split("=", 1) for each in generated["literals"])


@pytest.mark.parametrize("region", REGIONS)
def test_the_manifests_of_a_region_fit_together(region):
    found, literals = resources(region), variables_of(region)
    settings = Settings.from_environment({**literals, "FLY_ORM_SECRET": SECRET})
    assert settings.topology.region == region
    assert settings.topology.primary_region == "syd"
    stateful = found["StatefulSet", "node"]["spec"]
    assert len(settings.nodes[region]) == stateful["replicas"]
    for number in range(stateful["replicas"]):
        selector = found["Service", f"node-{number}"]["spec"]["selector"]
        assert selector == {"statefulset.kubernetes.io/pod-name": f"node-{number}"}
    pod = stateful["template"]["spec"]
    assert pod["terminationGracePeriodSeconds"] >= STOPPING
    [container] = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert serves(shlex.join(container["args"])) == [ports["health"]]
    assert stateful["template"]["metadata"]["labels"] == {"app": "node"}  # by which Prometheus finds them
    assert settings.listen.endswith(f":{ports['fly-orm']}")
    for probe, path in (("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
        assert container[probe]["httpGet"] == {"path": path, "port": "health"}
        assert container[probe]["timeoutSeconds"] > readiness.ANSWER_TIMEOUT
    assert ("Cluster", literals["DB_HOST"].removesuffix("-rw")) in found


@pytest.mark.parametrize("region", REGIONS)
def test_a_migration_is_applied_by_itself_and_before_what_needs_it(region):
    """A job with the rest would start before Postgres, and could not be replaced: its template is immutable."""
    assert not [kind for kind, _ in resources(region) if kind == "Job"]
    [((kind, name), job)] = resources(f"{region}/migrate").items()
    assert (kind, name) == ("Job", "migrate")
    assert job["spec"]["backoffLimit"] > 3
    assert variables_of(f"{region}/migrate") == variables_of(region)
    page = (ROOT / "docs" / "deploy" / "containers.md").read_text()
    steps = [
        "apply --filename deploy/kubernetes/syd/postgres.yaml\n",
        "wait --for=condition=Ready cluster/shop-db-syd ",
        "delete job migrate --ignore-not-found\n",
        "apply --kustomize deploy/kubernetes/syd/migrate\n",
        "wait --for=condition=complete job/migrate ",
        "apply --kustomize deploy/kubernetes/syd\n",
    ]
    assert [page.count(step) for step in steps] == [1] * len(steps)
    assert steps == sorted(steps, key=page.index)


def load_balancers():
    """The specifications of all services of this type, with their names."""
    for document in chain.from_iterable(map(documents, MANIFESTS)):
        managed = document["spec"].get("managed", {}) if document["kind"] == "Cluster" else {}
        templates = [each["serviceTemplate"] for each in managed.get("services", {}).get("additional", ())]
        for service in [*templates, *([document] if document["kind"] == "Service" else [])]:
            if service["spec"].get("type") == "LoadBalancer":
                yield service["metadata"]["name"], service["spec"]


def test_strangers_reach_neither_postgres_nor_nodes():
    found = dict(load_balancers())
    assert set(found) == {"node-0", "node-1", "shop-db-syd-external", "shop-db-lax-external"}
    for name, spec in found.items():
        assert spec["loadBalancerSourceRanges"] == ["10.0.0.0/8"], name
    for region in REGIONS:
        *allowed, last = resources(region)["Cluster", f"shop-db-{region}"]["spec"]["postgresql"]["pg_hba"]
        assert last == "host all all all reject"
        assert allowed == ["hostssl all all 10.0.0.0/8 scram-sha-256"]


def test_the_clusters_are_one_topology_in_which_either_can_be_the_primary():
    syd, lax = (resources(region)["Cluster", f"shop-db-{region}"]["spec"] for region in REGIONS)
    assert syd["externalClusters"] == lax["externalClusters"]
    assert syd["replica"] == {"primary": "shop-db-syd", "source": "shop-db-lax"}
    assert lax["replica"] == {"primary": "shop-db-syd", "source": "shop-db-syd"}
    for each, region in zip(syd["externalClusters"], REGIONS, strict=True):
        assert each["name"] == f"shop-db-{region}"
        assert each["connectionParameters"]["host"] == f"db.{region}.example.com"
        assert {each[kind]["name"] for kind in ("sslKey", "sslCert")} == {f"shop-db-{region}-replication"}
        assert each["sslRootCert"]["name"] == f"shop-db-{region}-ca"


def test_every_manifest_is_part_of_a_region():
    used = set(chain.from_iterable(map(resources, [*REGIONS, *(f"{region}/migrate" for region in REGIONS)])))
    paths = [path for path in MANIFESTS if path.name != "kustomization.yaml"]
    assert used == {(each["kind"], each["metadata"]["name"]) for path in paths for each in documents(path)}


def test_a_machine_has_its_secret_and_its_tables_before_the_units_start():
    page = (ROOT / "docs" / "deploy" / "machines.md").read_text()
    commands = re.findall(r"^# (.*)$", "".join(re.findall(r"```console\n(.*?)```", page, re.DOTALL)), re.MULTILINE)
    steps = ["/bin/pip install", "/etc/shop.env", "fly-orm secret", "shop.migrate", "enable --now", "fly-orm check"]
    first = [next(place for place, command in enumerate(commands) if step in command) for step in steps]
    assert first == sorted(first)


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
