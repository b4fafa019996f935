"""A node: executes what the nodes of other regions forward and call."""
