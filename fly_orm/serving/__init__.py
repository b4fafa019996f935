"""A node: executes the statements that nodes of other regions forward, and runs the functions that they call.

Of ``forwarding``, it imports only how a channel is opened, to look whether a node serves at its address.
"""
