"""Connections to Postgres as fly_orm itself uses them, libpq, and SQL errors."""
