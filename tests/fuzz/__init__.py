"""Runs the properties of what reads bytes of others for long."""
