"""What the environment configures."""

from __future__ import annotations

from traceback import TracebackException

import pytest
from peewee import PostgresqlDatabase

import fly_orm
from fly_orm.errors import ConfigurationError
from fly_orm.settings import LIMITS, VARIABLES, Settings, variables_set

SECRET = "0123456789abcdef"


def test_without_variables_there_is_one_region_and_it_is_primary():
    settings = Settings.from_environment({})
    assert settings.topology.region == "local"
    assert settings.topology.is_primary
    assert (settings.rpc_timeout, settings.replication_timeout) == (5.0, 5.0)
    assert settings.transport == "pyro5"
    assert settings.listen.startswith("127.0.0.1:")


_EXAMPLES = {
    "PRIMARY_REGION": "syd",
    "FLY_REGION": "lax",
    "MY_REGION": "ams",
    "FLY_ORM_TRANSPORT": "carrier-pigeon",
    "FLY_ORM_LISTEN": "[::]:7654",
    "FLY_ORM_NODES": "syd=a:1",
    "FLY_ORM_SECRET": SECRET,
    "FLY_ORM_RPC_TIMEOUT": "2.5",
    "FLY_ORM_REPLICATION_TIMEOUT": "none",
    "FLY_ORM_RELEASE": "v42",
    "FLY_ORM_POOL_SIZE": "3",
}


def test_every_variable_is_read():
    settings = Settings.from_environment(_EXAMPLES)
    assert (settings.topology.region, settings.topology.primary_region) == ("lax", "syd")
    assert (settings.transport, settings.listen) == ("carrier-pigeon", "[::]:7654")
    assert [secret.reveal() for secret in settings.secrets] == [SECRET]
    assert settings.nodes["syd"][0].address == "a:1"
    assert (settings.rpc_timeout, settings.replication_timeout) == (2.5, None)


def test_workers_are_a_number_or_one_for_each_core():
    assert Settings.from_environment({}).workers == 1
    assert Settings.from_environment({"FLY_ORM_WORKERS": "4"}).workers == 4
    assert Settings.from_environment({"FLY_ORM_WORKERS": "auto"}).workers is None
    for wrong in ("0", "-1", "many", "1.5"):
        with pytest.raises(ConfigurationError, match=f"FLY_ORM_WORKERS='{wrong}'"):
            Settings.from_environment({"FLY_ORM_WORKERS": wrong})


def test_my_region_counts_where_fly_region_is_not_set():
    assert Settings.from_environment({"MY_REGION": "ams", "FLY_REGION": ""}).topology.region == "ams"


def test_an_empty_variable_is_as_good_as_none():
    assert Settings.from_environment({"FLY_ORM_RPC_TIMEOUT": "", "PRIMARY_REGION": ""}) == Settings.from_environment({})


def test_an_unknown_variable_is_an_error_that_names_the_nearest():
    with pytest.raises(ConfigurationError, match=r"FLY_ORM_NODE is not a setting.*did you mean 'FLY_ORM_NODES'"):
        Settings.from_environment({"FLY_ORM_NODE": "syd=a:1"})


def test_each_variable_has_a_spelling_that_fly_io_takes():
    variables = {name: value for name, value in _EXAMPLES.items() if name.startswith("FLY_ORM_")}
    respelt = {name.replace("FLY_ORM_", "FLYORM_"): value for name, value in variables.items()}
    assert len(respelt) > 4
    assert Settings.from_environment(respelt) == Settings.from_environment(variables) != Settings.from_environment({})
    assert variables_set(respelt).keys() == variables_set(variables).keys()
    assert set(variables_set(respelt).values()) == set(respelt)


@pytest.mark.parametrize("other", ["", "2.5"])
def test_one_spelling_is_enough_and_both_may_say_the_same(other):
    environ = {"FLYORM_RPC_TIMEOUT": "2.5", "FLY_ORM_RPC_TIMEOUT": other}
    assert Settings.from_environment(environ).rpc_timeout == 2.5


def test_two_spellings_with_different_values_are_an_error_that_shows_neither():
    with pytest.raises(ConfigurationError, match=r"FLY_ORM_SECRET and FLYORM_SECRET .* unset one") as caught:
        Settings.from_environment({"FLY_ORM_SECRET": SECRET, "FLYORM_SECRET": f"another {SECRET}"})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("FLYORM_NODE", "syd=a:1", "FLYORM_NODE is not a setting.*did you mean 'FLYORM_NODES'"),
        ("FLYORM_NODES", "?", "FLYORM_NODES: "),
        ("FLYORM_SECRET", "short", "FLYORM_SECRET is 5 characters long"),
        ("FLYORM_RPC_TIMEOUT", "soon", "FLYORM_RPC_TIMEOUT="),
    ],
)
def test_errors_name_the_spelling_that_was_used(name, value, told):
    with pytest.raises(ConfigurationError, match=told):
        Settings.from_environment({name: value})


@pytest.mark.parametrize("value", ["soon", "-1", "nan"])
def test_a_timeout_that_is_no_number_of_seconds_is_an_error(value):
    with pytest.raises(ConfigurationError, match="FLY_ORM_RPC_TIMEOUT"):
        Settings.from_environment({"FLY_ORM_RPC_TIMEOUT": value})


@pytest.mark.parametrize("value", ["many", "100", "-1", "1.5", "none", "1MB"])
def test_a_limit_out_of_bounds_is_an_error(value):
    with pytest.raises(ConfigurationError, match="FLY_ORM_MAX_ELEMENTS"):
        Settings.from_environment({"FLY_ORM_MAX_ELEMENTS": value})


def test_other_limits_are_checked_as_well():
    assert Settings().with_limits(max_elements=5000).max_elements == 5000
    with pytest.raises(ConfigurationError, match="max_elements must be a whole number, 1024 or more, not 5"):
        Settings().with_limits(max_elements=5)
    with pytest.raises(ConfigurationError, match="there is no limit 'max_element'; did you mean 'max_elements'"):
        Settings().with_limits(max_element=5000)


LARGE = ["99999999999999999999", "9" * 4299]


@pytest.mark.parametrize("value", LARGE)
@pytest.mark.parametrize(
    "name", ["WORKERS", *(name.upper() for name, limit in LIMITS.items() if limit.unit != "seconds")]
)
def test_a_count_that_is_too_large_for_the_system_is_an_error(name, value):
    with pytest.raises(ConfigurationError, match=f"FLY_ORM_{name}.* (a number up to 4096|or less|1KiB to 32MiB)"):
        Settings.from_environment({f"FLY_ORM_{name}": value})


def test_a_number_that_python_does_not_write_is_an_error():
    with pytest.raises(ConfigurationError, match="32MiB or less, not a number that is much greater"):
        Settings.from_environment({"FLY_ORM_MAX_RESULT_BYTES": "9" * 4299 + "GiB"})
    with pytest.raises(ConfigurationError, match="2147483647 or less, not a number that is much greater"):
        Settings().with_limits(pool_size=10**5000)


SHORTENED = sorted(VARIABLES.keys() - {"FLY_ORM_SECRET", "FLY_ORM_TRANSPORT_OPTIONS"})


@pytest.mark.parametrize("name", SHORTENED)
@pytest.mark.parametrize("value", ["x" * 100_000, "x=1," * 30_000, "-1" * 50_000])
def test_an_error_does_not_repeat_all_of_a_long_value(name, value):
    said = ""
    try:
        Settings.from_environment({name: value})
    except ConfigurationError as error:  # not every variable refuses every one of them
        said = str(error)
    assert len(said) < 500


def test_a_short_secret_is_refused_and_none_is_shown():
    with pytest.raises(ConfigurationError, match="fly-orm secret") as caught:
        Settings.from_environment({"FLY_ORM_SECRET": "hunter2"})
    assert "hunter2" not in str(caught.value)
    assert SECRET not in repr(Settings.from_environment({"FLY_ORM_SECRET": SECRET}))


def test_several_secrets_are_separated_by_whitespace_or_commas():
    one, two, three = (letter * 16 for letter in "abc")
    settings = Settings.from_environment({"FLY_ORM_SECRET": f" {one}, {two}\n{three},{one}"})
    assert [secret.reveal() for secret in settings.secrets] == [one, two, three]
    assert Settings(secret=f"{one} {two} {three}") == settings


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"{SECRET} hunter2", "value 2 of FLY_ORM_SECRET is 7 characters long"),
        (" ".join(f"{number}{SECRET}" for number in range(5)), "has 5 values, and may have 4"),
    ],
)
def test_each_secret_is_checked(text, problem):
    with pytest.raises(ConfigurationError, match=problem):
        Settings.from_environment({"FLY_ORM_SECRET": text})


@pytest.mark.parametrize("variables", [{"FLY_ORM_SECRET": "hunter2"}, {"FLY_ORM_SECRET": SECRET, "FLY_ORM_NODES": "?"}])
def test_a_traceback_with_local_variables_shows_no_secret(variables):
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_environment(variables)
    shown = "".join(TracebackException.from_exception(caught.value, capture_locals=True).format())
    within = shown[shown.index("fly_orm/settings.py") :]  # the frame above is this one
    assert not [secret for secret in ("hunter2", SECRET) if secret in within]
    assert SECRET not in str(vars(Settings(secret=SECRET)))


def test_other_timeouts_are_checked_as_well():
    assert Settings().with_timeouts(rpc_timeout=None).rpc_timeout is None
    with pytest.raises(ValueError, match="rpc_timeout must be"):
        Settings().with_timeouts(rpc_timeout=-1)


def test_transport_options_are_pairs():
    settings = Settings.from_environment(
        {"FLY_ORM_TRANSPORT_OPTIONS": "  max_connections=10 file='a b'  empty= x=y=z "}
    )
    assert settings.transport_options == {"max_connections": "10", "file": "a b", "empty": "", "x": "y=z"}
    assert Settings.from_environment({}).transport_options == {}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a=1 hunter2", "item 2 is not key=value"),
        ("=hunter2", "item 1 is not key=value"),
        ("a=hunter2 a=hunter2", "sets a twice"),
        ("a='hunter2", "not a list of key=value pairs: No closing quotation"),
    ],
)
def test_transport_options_that_are_no_pairs_are_refused_without_being_shown(text, problem):
    with pytest.raises(ConfigurationError, match=f"FLY_ORM_TRANSPORT_OPTIONS.*{problem}") as caught:
        Settings.from_environment({"FLY_ORM_TRANSPORT_OPTIONS": text})
    assert "hunter2" not in str(caught.value)


def test_transport_options_may_be_secret():
    assert "hunter2" not in repr(Settings(transport_options={"password": "hunter2"}))


@pytest.mark.parametrize(("text", "timeout"), [("1.5", 1.5), ("0", 0.0), ("none", None), ("None", None)])
def test_a_timeout_may_be_given_as_the_text_of_its_variable(text, timeout):
    assert Settings(rpc_timeout=text).rpc_timeout == timeout
    assert Settings().with_timeouts(replication_timeout=text).replication_timeout == timeout
    assert Settings().with_limits(idle_timeout=text).idle_timeout == timeout


def test_a_limit_may_be_given_as_the_text_of_its_variable():
    limits = Settings().with_limits(pool_size="5", max_result_bytes="1MiB", peer_leases="auto")
    assert (limits.pool_size, limits.max_result_bytes, limits.peer_leases) == (5, 2**20, None)


@pytest.mark.parametrize("wrong", ["soon", "", "-1", "nan", True, [5], b"5", -1, float("nan"), object()])
def test_what_is_no_timeout_is_an_error_that_names_it(wrong):
    for give in (
        lambda: Settings(rpc_timeout=wrong),
        lambda: Settings().with_timeouts(rpc_timeout=wrong),
        lambda: Settings().with_limits(idle_timeout=wrong),
    ):
        with pytest.raises(ConfigurationError, match="_timeout"):
            give()


def test_wrap_reads_a_timeout_as_its_variable_is_read():
    database = fly_orm.wrap(PostgresqlDatabase("nowhere"), rpc_timeout="1.5", replication_timeout="none")
    assert database._fly_orm.settings.rpc_timeout == 1.5
    assert database._fly_orm.settings.replication_timeout is None
    with pytest.raises(ConfigurationError, match="rpc_timeout='soon' is not a timeout"):
        fly_orm.wrap(PostgresqlDatabase("nowhere"), rpc_timeout="soon")
