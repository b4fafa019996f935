"""What a statement does to where it must run, told from its text alone.

An allow-list: what is not known to be answered by a replica as by the primary needs the primary. Two things no text
can tell: a user's function that writes (the replica refuses it, and then the primary runs it), and one that catches
that refusal (name it to the Classifier). The rules about hot standby are those of the Postgres manual, section 26.4.
"""

from .classifier import Classifier
from .statement import Kind, Statement

__all__ = ["Classifier", "Kind", "Statement"]
