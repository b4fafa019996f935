"""Programs that show what fly_orm does."""
