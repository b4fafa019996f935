"""Postgres as fly_orm itself uses it: connections to the primary, libpq and SQL errors."""
