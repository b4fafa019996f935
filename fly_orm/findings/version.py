"""The version of fly_orm. setup.cfg reads it from here."""

VERSION = "0.1.0"
