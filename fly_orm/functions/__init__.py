"""Functions that other nodes may call, and calls of them.

On the node that is called, ``serving`` runs them.
"""
