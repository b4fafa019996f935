"""Checks a set-up: asks the local server and the nodes, tries a write, and passes the facts to ``findings/``.

Imports ``wrapping`` and the layers below it.
"""
