"""The default transport: messages of the Pyro5 protocol over TCP."""

from .options import Pyro5Options
from .transport import Pyro5Transport

__all__ = ["Pyro5Options", "Pyro5Transport"]
