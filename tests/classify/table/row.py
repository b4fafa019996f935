"""What a row of the table says."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fly_orm.classify import Kind

#: What the statements below may refer to.
SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY, name text, "update" text, share int, j jsonb);
CREATE TABLE child (id int PRIMARY KEY, t_id int REFERENCES t);
CREATE UNLOGGED TABLE u (id int);
CREATE VIEW v AS SELECT id FROM t;
CREATE MATERIALIZED VIEW mv AS SELECT id FROM t;
CREATE SEQUENCE s;
CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS 'INSERT INTO t VALUES (77) RETURNING id';
CREATE FUNCTION swallows() RETURNS text LANGUAGE plpgsql AS
    'BEGIN INSERT INTO t VALUES (78); RETURN ''written''; EXCEPTION WHEN OTHERS THEN RETURN ''lost''; END';
CREATE PROCEDURE p() LANGUAGE sql AS 'INSERT INTO t VALUES (79)';
INSERT INTO t VALUES (1, 'ann', 'x', 1, '{"a": 1}');
"""

ACCEPTED = "accepted"  #: The standby does it, and that is what the caller wants.
OTHER_MEANING = "accepted, with another meaning"  #: The standby does it, and the caller is misled.
NOT_RUN = "not run"  #: Needs something that the test has not, or would harm the server.


@dataclass(frozen=True, kw_only=True)
class Row:
    sql: str
    kind: Kind
    standby: str  # one of the above, or the SQLSTATE of the refusal; "or" where the server's versions differ
    in_transaction: bool = False
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return " ".join(self.sql.split()) or "(nothing)"


def read(sql: str, standby: str = ACCEPTED, **facts: Any) -> Row:
    return Row(sql=sql, kind=Kind.READ, standby=standby, facts=facts)


def write(sql: str, standby: str = "25006", *, in_transaction: bool = False, **facts: Any) -> Row:
    return Row(sql=sql, kind=Kind.WRITE, standby=standby, in_transaction=in_transaction, facts=facts)


def other(kind: Kind, sql: str, standby: str = NOT_RUN, **facts: Any) -> Row:
    return Row(sql=sql, kind=kind, standby=standby, facts=facts)
