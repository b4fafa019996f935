"""fly_orm: reads from the replica next door, writes in the primary region, and always your own writes."""
