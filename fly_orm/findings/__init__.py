"""Says what is right and wrong with a set-up, and what to do about it. Pure: others gather the facts.

There is one module for each family of facts. Imports ``settings`` and the layers below it.
"""
