"""The models of the project."""

import uuid

from django.db import models

import fly_orm


class Author(models.Model):
    name = models.TextField(unique=True)


class Tag(models.Model):
    name = models.TextField()


class Book(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid.uuid4)
    title = models.TextField()
    stock = models.IntegerField(default=0)
    data = models.JSONField(default=dict)
    author = models.ForeignKey(Author, models.CASCADE, related_name="books")
    tags = models.ManyToManyField(Tag)

    @classmethod
    @fly_orm.on_primary
    def publish(cls, title, author):
        """Create a book of the class that it is called for."""
        return cls.objects.create(title=f"{title} in {fly_orm.my_region()}", author=author)


class Bestseller(Book):
    rank = models.IntegerField(default=1)


ALL = (Author, Tag, Book, Bestseller)
