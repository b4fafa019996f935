"""The default transport: messages of the Pyro5 protocol over TCP."""

from .transport import Pyro5Transport

__all__ = ["Pyro5Transport"]
