"""A node: executes the statements that nodes of other regions forward, and runs the functions that they call.

Imports everything below it except ``forwarding``, which it meets only in the messages of ``protocol``.
"""
