"""The contract as one class."""

from __future__ import annotations

from .endings import Endings
from .exchanges import Exchanges
from .forks import Forks
from .limits import Limits
from .outcomes import Outcomes
from .peers import Peers


class TransportContract(Exchanges, Outcomes, Limits, Endings, Peers, Forks):
    """Tests of everything that the core relies on in a transport. A transport's author derives a class and runs pytest:

    .. code-block:: python

        class TestPigeon(TransportContract):
            transport = PigeonTransport
            listen = "127.0.0.1:0"

    ``transport`` is what the entry point refers to: called without arguments, and importable by its name, since other
    processes make one too. See :class:`.setting.Setting` for what else can be said. The fixtures ``node`` and
    ``processes`` are there for tests of the author's own.
    """
