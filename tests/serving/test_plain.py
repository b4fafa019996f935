"""Only requests that ask for nothing else take the short path."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from fly_orm.protocol.messages import Batch, BrokenInput, Record, Run, Step, Watch
from fly_orm.serving.plain import is_plain

PLAIN = Run(database="shop", lease=b"1", opens_lease=True, statements=[b"INSERT INTO t VALUES (1)"])
#: What both paths treat alike.
ALIKE: dict[str, Any] = {
    "database": "other",
    "lease": b"2",
    "timeout": 1.0,
    "begin_by": 1.0,
    "renews": True,
    "encoding": "LATIN1",
    "role": "web",
    "start_settings": {"work_mem": "1MB"},
    "session_settings": [b"SET work_mem TO 1"],
    "newest": [],
    "may_change_role": True,
    "context": {"traceparent": "00-1-1-01"},
}
UNLIKE: dict[str, Any] = {
    "opens_lease": False,
    "requested_settings": [],
    "made_settings": ["app.tenant"],
    "resets": ["*"],
    "preamble": [b"BEGIN"],
    "statements": [b"SELECT 1", b"SELECT 2"],
    "batch": Batch(steps=[Step(statement=b"INSERT INTO t VALUES (1)")]),
    "copy_in": b"",
    "broken_copy_in": BrokenInput(data=b""),
    "copy_in_begins": b"",
    "copy_out": True,
    "copy_out_in_pieces": True,
    "piece_bytes": 1024,
    "keeps_lease": True,
    "commits": True,
    "ends_transaction": True,
    "commit_limited": True,
    "wants_id": True,
    "wants_position": False,
    "watch": Watch(),
    "record": Record(id="1"),
}


@pytest.mark.parametrize("name", ["", *ALIKE])
def test_a_statement_by_itself_is_plain(name: str) -> None:
    assert is_plain(msgspec.structs.replace(PLAIN, **({name: ALIKE[name]} if name else {})))


@pytest.mark.parametrize("name", UNLIKE)
def test_a_request_for_more_is_not(name: str) -> None:
    assert not is_plain(msgspec.structs.replace(PLAIN, **{name: UNLIKE[name]}))


def test_neither_is_one_whose_result_is_looked_at_before_it_commits() -> None:
    assert not is_plain(msgspec.structs.replace(PLAIN, statements=[b"UPDATE t SET i = 1 RETURNING *"]))


def test_each_field_is_of_one_kind() -> None:
    assert set(Run.__struct_fields__) == {*ALIKE, *UNLIKE}
