"""What is in the book when it is opened; run in the primary region."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from ..app import Comment, Guest, Post, db
from .visitor import Visit

_POSTS = [
    ("Mirra", "syd", "The southerly came in at four and cleared the harbour in ten minutes. Worth the wait.", 190, []),
    (
        "Teun",
        "ams",
        "Cycled here along the canals. My page came from the server next door, and so did yours.",
        75,
        [("Mirra", "syd", "It was here before you had locked the bike.")],
    ),
    (
        "Dolores",
        "lax",
        "Wrote this in Los Angeles. It is kept in Sydney, and I read it back at once.",
        12,
        [("Teun", "ams", "And I read it in Amsterdam."), ("Mirra", "syd", "Hello from where it is kept.")],
    ),
]


def write() -> None:
    """Create the tables, and write the first posts."""
    now = datetime.now(timezone.utc)
    with db.atomic():
        db.create_tables([Guest, Post, Comment, Visit])
        guests = {name: Guest.create(name=name) for name, *_ in _POSTS}
        for name, region, text, minutes, comments in _POSTS:
            written = now - timedelta(minutes=minutes)
            post = Post.create(author=guests[name], text=text, region=region, written=written)
            for number, (other, where, reply) in enumerate(comments, 1):
                later = written + timedelta(minutes=number)
                Comment.create(post=post, author=guests[other], text=reply, region=where, written=later)


if __name__ == "__main__":
    write()
