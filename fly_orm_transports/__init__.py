"""The transports that ship with fly_orm. The core finds each by its entry point, and does not import this package."""
