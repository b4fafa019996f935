"""Classifies statements by their text alone: where each may run, and what it leaves behind. Imports nothing of fly_orm.

The rules are an allow-list: a statement needs the primary unless a replica is known to give the same answer. The text
does not show whether a user's function writes. If it does, the replica refuses the statement, and the primary runs it.
A function that catches the replica's refusal must be named to the :class:`Classifier`. What a replica can do is
described in the Postgres manual, section "Hot Standby".
"""

from .classifier import Classifier
from .session_change import SessionChange
from .statement import ENDS, SETTING_CHANGES, Kind, Statement

__all__ = ["ENDS", "SETTING_CHANGES", "Classifier", "Kind", "SessionChange", "Statement"]
