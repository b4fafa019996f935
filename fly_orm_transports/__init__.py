"""The transports that ship with fly_orm. Each is found by its entry point; nothing imports this package."""
