"""The contract as one class."""

from __future__ import annotations

from .endings import Endings
from .exchanges import Exchanges
from .forks import Forks
from .limits import Limits
from .making import Making
from .outcomes import Outcomes
from .peers import Peers


class TransportContract(Making, Exchanges, Outcomes, Limits, Endings, Peers, Forks):
    """Tests of everything that the core relies on in a transport. Derive a class from it, and run pytest:

    .. code-block:: python

        class TestPigeon(TransportContract):
            transport = PigeonTransport
            listen = "127.0.0.1:0"

    ``transport`` is the factory that the entry point refers to. It has to be importable by its name, since other
    processes make a transport too. See :class:`.setting.Setting` for the other attributes. Tests of your own can use
    the fixtures ``node`` and ``processes``.
    """
