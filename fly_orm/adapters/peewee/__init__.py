"""The adapter for peewee."""
