"""Sends requests to the nodes of other regions: finds the nodes, keeps channels to them, reports each outcome.

Imports ``registry``, ``discovery``, ``protocol``, ``concurrency`` and the modules of values; nothing of Postgres, and
nothing of ``serving``, which it meets only in the messages of ``protocol``.
"""
