"""What guests write."""

from django.db import models


class Guest(models.Model):  # type: ignore[misc]  # Django has no types
    """Somebody who has written something."""

    name = models.TextField(unique=True)


class Entry(models.Model):  # type: ignore[misc]
    """What a guest has written."""

    guest = models.ForeignKey(Guest, models.CASCADE)
    text = models.TextField()
