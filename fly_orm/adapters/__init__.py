"""The adapters, each a plug-in that teaches :func:`fly_orm.wrap` the database objects of one ORM.

:mod:`.base` is the interface. peewee and Pony have their adapters here, and are found by entry point like any other.
"""
