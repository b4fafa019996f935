"""Memory, modules and start-up."""
