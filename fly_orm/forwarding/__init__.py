"""Sends requests to the nodes of other regions: finds the nodes, keeps channels to them, reports each outcome.

It never imports ``serving`` or ``postgres``.
"""
