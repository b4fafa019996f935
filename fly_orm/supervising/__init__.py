"""The supervisor of a node with several workers: starts them, restarts them and stops them.

It imports nothing of the application. Each worker is a ``fly-orm serve`` of its own, which finds in
:mod:`fly_orm.sharing` what it has in common with the others.
"""
