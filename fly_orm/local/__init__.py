"""The Postgres server of this region, as a replica and as a primary."""
