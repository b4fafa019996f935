"""Checks a set-up: asks the local server and the nodes, tries a write, and has ``findings/`` judge what came of it.

Imports ``wrapping`` and the layers below it.
"""
