"""Turns facts about a set-up into findings: what is wrong, and how to fix it. Pure; ``checking/`` gathers the facts.

There is one module for each family of facts. Imports ``settings`` and the layers below it.
"""
