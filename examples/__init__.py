"""Programs that show fly_orm at work."""
