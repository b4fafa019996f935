"""Tokens: what a session has seen, as a signed text for another process.

Imports ``routing``, ``runtime`` and the layers below these.
"""
