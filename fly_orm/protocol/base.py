"""What all messages are made of."""

from __future__ import annotations

from typing import Annotated

import msgspec

#: Seconds, 0 or more.
Timeout = Annotated[float, msgspec.Meta(ge=0)]
#: A reading of the clock of the node that replies (:data:`fly_orm.deadline.now`). The clocks of two nodes do not agree,
#: so a deadline travels as such an instant, which its caller works out from the node's earlier replies.
Instant = float


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The base of all messages."""


class Answer(Message, frozen=True):
    """The base of all replies."""

    clock: Instant | None = None
    """The node's clock when it replied; None if it does not say."""
