"""The harness for the ORMs' own suites notices what it is for."""

from dataclasses import replace

import pytest

from fly_orm.errors import ConfigurationError
from tests.conformance.__main__ import main
from tests.conformance.log import selects
from tests.conformance.modes import CONTROL, PLAIN, WRAPPED, baseline
from tests.conformance.outcomes import worse, worst
from tests.conformance.result import NotingResult
from tests.conformance.run import Run
from tests.conformance.servers import unavailable
from tests.conformance.suites import PONY
from tests.conformance.verdict import HEADINGS, LEAST_WORSE_IN_CONTROL, enough_for_control, objections, row, worse_tests

PLAIN_RUN = Run(
    mode=PLAIN,
    ran=PONY.least_ok,
    outcomes={str(number): "ok" for number in range(PONY.least_ok)},
    complaints={},
    selects=0,
    selects_on_primary=0,
    round_trips=None,
    seconds=1.0,
)
WRAPPED_RUN = replace(PLAIN_RUN, mode=WRAPPED[0], selects=PONY.least_selects, round_trips=1)


@pytest.mark.parametrize(
    ("plain", "wrapped", "found"),
    [
        ("ok", "ok", {}),
        ("ok", "skip", {"t": "skip"}),
        ("ok", "fail", {"t": "fail"}),
        ("ok", "error", {"t": "error"}),
        ("ok", None, {"t": "did not run"}),
        ("skip", "ok", {}),
        ("skip", "error", {"t": "error"}),
        ("skip", None, {"t": "did not run"}),
        ("error", "ok", {}),
        ("error", "error", {}),
        ("error", "fail", {}),
        ("fail", "error", {}),
        ("error", None, {"t": "did not run"}),
        (None, "ok", {}),
        (None, "error", {"t": "error"}),
    ],
)
def test_a_test_that_comes_out_worse_is_found(plain, wrapped, found):
    outcomes = [{} if outcome is None else {"t": outcome} for outcome in (plain, wrapped)]
    assert worse(*outcomes) == found


def test_an_error_in_the_tear_down_is_not_hidden_by_an_outcome_before_or_after():
    assert worst(None, "ok") == "ok"
    assert worst("ok", "error") == "error"
    assert worst("error", "ok") == "error"


def test_a_run_like_the_plain_one_is_as_it_has_to_be():
    assert objections(PONY, PLAIN_RUN, PLAIN_RUN) == []
    assert objections(PONY, PLAIN_RUN, WRAPPED_RUN) == []


def test_one_worse_test_is_an_objection_and_is_named():
    run = replace(WRAPPED_RUN, outcomes={**PLAIN_RUN.outcomes, "7": "error"}, complaints={"7": "OSError: away"})
    assert "worse than plain: 1" in objections(PONY, PLAIN_RUN, run)[0]
    assert worse_tests(PONY, PLAIN_RUN, run) == ["before_bind: 7: error: OSError: away"]
    assert row(PLAIN_RUN, run)[HEADINGS.index("worse")] == 1


def test_a_limit_that_a_readme_states_is_none():
    run = replace(WRAPPED_RUN, outcomes={**PLAIN_RUN.outcomes, "7": "error"})
    suite = replace(PONY, limits=frozenset({"7"}))
    assert objections(suite, PLAIN_RUN, run) == worse_tests(suite, PLAIN_RUN, run) == []


def test_a_run_behind_a_pooler_is_compared_with_a_plain_one_behind_the_same():
    for mode in WRAPPED:
        assert baseline(mode).pooling == mode.pooling
        assert not baseline(mode).wrapped


def test_the_share_of_the_replicas_is_shown():
    run = replace(WRAPPED_RUN, selects=3000, selects_on_primary=1000)
    assert row(PLAIN_RUN, run)[HEADINGS.index("of all")] == "75%"


def test_sending_everything_to_the_primary_is_an_objection():
    assert (
        "only 999 of its SELECTs"
        in objections(PONY, PLAIN_RUN, replace(WRAPPED_RUN, selects=PONY.least_selects - 1))[0]
    )


def test_a_plain_run_in_which_hardly_a_test_passes_is_an_objection():
    run = replace(PLAIN_RUN, outcomes=dict.fromkeys(PLAIN_RUN.outcomes, "error"))
    assert "prove nothing" in objections(PONY, run, run)[0]


def test_a_control_in_which_nothing_is_worse_is_an_objection():
    control = replace(WRAPPED_RUN, mode=CONTROL, selects=0)
    assert "does not notice" in objections(PONY, PLAIN_RUN, control)[0]
    assert "only 0 tests" in objections(PONY, PLAIN_RUN, replace(control, outcomes={}))[0]
    failed = dict.fromkeys(map(str, range(LEAST_WORSE_IN_CONTROL)), "fail")
    assert objections(PONY, PLAIN_RUN, replace(control, outcomes=failed)) == []


def test_a_control_ends_as_soon_as_enough_tests_are_worse():
    result = NotingResult(enough_for_control(PONY, PLAIN_RUN))
    for number in range(LEAST_WORSE_IN_CONTROL):
        assert not result.shouldStop
        result.note(str(number), "ok")
        result.note(str(number), "fail" if number % 2 else "error")
        result.note(str(number), "error")
    assert result.shouldStop


def test_the_control_goes_on_for_what_fails_anyway():
    suite = replace(PONY, limits=frozenset({"1", "2"}))
    plain = replace(PLAIN_RUN, outcomes={"3": "fail", "4": "ok", "5": "error"})
    assert enough_for_control(suite, plain) == LEAST_WORSE_IN_CONTROL + 4


def test_only_a_suites_selects_that_were_served_in_the_database_are_counted(tmp_path):
    log = tmp_path / "log"
    log.write_text(
        '<mine> LOG:  duration: 0.1 ms  statement: SELECT "x"."id"\n'
        '\tFROM "x" "x"\n'
        "<mine> LOG:  duration: 0.1 ms  statement: select name from x\n"
        '<other> LOG:  duration: 0.1 ms  statement: SELECT "x"."id"\n'
        "<mine> LOG:  duration: 0.1 ms  statement: SELECT pg_last_wal_replay_lsn()::text\n"
        "<mine> LOG:  duration: 0.1 ms  statement: SELECT current_setting('xmlbinary')\n"
        "<mine> LOG:  duration: 0.1 ms  statement: SELECT tablename\n"
        "\tFROM pg_catalog.pg_tables\n"
        '<mine> LOG:  duration: 0.1 ms  statement: DELETE FROM "x"\n'
        "<mine> ERROR:  cannot execute DELETE in a read-only transaction\n"
        '<mine> STATEMENT:  SELECT "x"."id"\n'
    )
    assert selects(log, "mine") == 2
    assert selects(log, "mine", log.read_bytes().index(b"<mine> LOG:  duration: 0.1 ms  statement: select")) == 1


def test_the_command_starts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["conformance", "no such mode"])
    with pytest.raises(SystemExit):
        main()
    assert "before_bind" in capsys.readouterr().err


@pytest.fixture(autouse=True)
def _handlers_stay(monkeypatch):
    monkeypatch.setattr("signal.signal", lambda *_: None)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ([], ["pony", "django", "django-committed", "sqlalchemy", "sqlalchemy-orm"]),
        (["--suite", "sqlalchemy", "--suite", "pony"], ["sqlalchemy", "pony"]),
    ],
    ids=["all", "named"],
)
def test_the_command_runs_the_suites_that_are_named_or_all(monkeypatch, arguments, names):
    ran = {}
    monkeypatch.setattr("sys.argv", ["conformance", *arguments])
    monkeypatch.setattr(
        "tests.conformance.__main__.run_all", lambda suite, modes: ran.update({suite.name: modes}) or ()
    )
    assert main() == 0
    assert list(ran) == names
    assert all(ran.values())


def test_a_suite_that_cannot_run_fails_and_the_next_one_runs(monkeypatch, capsys):
    def run(suite, _modes):
        if suite is PONY:
            raise ConfigurationError("no such extension")
        yield PLAIN_RUN, replace(PLAIN_RUN, outcomes=dict.fromkeys(map(str, range(suite.least_ok)), "ok"))

    monkeypatch.setattr("sys.argv", ["conformance", "--suite", "pony", "--suite", "django"])
    monkeypatch.setattr(f"{main.__module__}.run_all", run)
    assert main() == 1
    printed = capsys.readouterr().out
    assert "pony did not run: no such extension" in printed
    assert "The own tests of django" in printed


def test_extensions_that_a_server_lacks_are_named(cluster):
    assert unavailable(cluster.primary, ["plpgsql", "no_such"]) == ["no_such"]
