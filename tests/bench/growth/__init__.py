"""A model of many regions, and the points of it that one machine can hold."""
