"""The table of the limits in docs/limits.md is made from the settings."""

from dataclasses import fields

from fly_orm.cli.command_line import make_parser
from fly_orm.settings import LIMITS, Settings, variable_of
from tests.support import ROOT


def table():
    """The table, as the page has it."""
    rows = ["| setting and option | variable | default | allowed | meaning |", "|---|---|---|---|---|"]
    for name, limit in LIMITS.items():
        default = limit.text_of(getattr(Settings, name))
        option = "" if limit.of_callers else f", `--{name.replace('_', '-')}`"
        rows.append(f"| `{name}`{option} | `{variable_of(name)}` | {default} | {limit.bounds} | {limit.meaning} |")
    return "\n".join(rows)


def test_the_page_has_the_table_of_all_limits():
    assert table() in (ROOT / "docs" / "limits.md").read_text(), table()


def test_the_settings_that_are_options_are_those_of_which_the_page_says_so():
    [commands] = [action.choices for action in make_parser()._actions if action.choices]
    options = {action.dest for action in commands["serve"]._actions}
    assert {each.name for each in fields(Settings)} & options == {
        *("listen", "workers"),
        *(name for name, limit in LIMITS.items() if not limit.of_callers),
    }
