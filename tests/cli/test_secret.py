"""``fly-orm secret`` prints what the settings take."""

from __future__ import annotations

from fly_orm.cli import main
from fly_orm.protocol.secret import Secret
from fly_orm.protocol.strength import is_weak
from fly_orm.settings import Settings


def test_it_prints_a_new_good_secret_each_time(capsys):
    assert (main(["secret"]), main(["secret"])) == (0, 0)
    one, other = capsys.readouterr().out.split()
    assert one != other
    assert list(Settings.from_environment({"FLY_ORM_SECRET": one}).secrets) == [Secret(one)]
    assert not is_weak(Secret(one))
