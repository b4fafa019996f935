"""``python -m tests.support.queues.request celery TITLE…`` writes posts, as a request does, with a job for each."""

from __future__ import annotations

import importlib
import sys

import fly_orm
from tests.support.queues import jobs

if __name__ == "__main__":
    queue, *titles = sys.argv[1:]
    app = importlib.import_module(f"tests.support.queues.{queue}_app")
    for title in titles:
        with fly_orm.session(), jobs.db.connection_context():
            jobs.Post.create(title=title)
            app.ask(title, **fly_orm.carry())
