"""Functions that other nodes may call, and calls of them. Imports ``routing``, ``runtime`` and the layers below these.

On the node that is called, ``serving`` runs them.
"""
