"""A process that uses the app, in the region named by its environment.

It reads the name of a script from each line of stdin, plays it, and prints each step as it happens. It exits at the end
of its input.
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable

from . import app, pony_app
from .reporter import Reporter
from .step import END, ITEMS, Kind

_numbers = itertools.count(1)


def prepare(_report: Reporter) -> None:
    """Create the tables and some rows to read, from the visitor's own region."""
    with app.db.atomic():
        app.db.create_tables([app.User, app.Post])
        editor = app.sign_up("editor")
        app.Post.insert_many([{"author": editor, "title": f"Yesterday's news, part {n}"} for n in range(10)]).execute()


def tour(report: Reporter) -> None:
    """Read, write, and read what was written."""
    report.read("read the front page", app.front_page)
    with report.write("insert a user"):
        ann = app.sign_up("ann")
    report.read_back("… read her back", lambda: app.find("ann"), expected=ann)

    with report.write("insert a post of hers"):
        app.publish(ann, "Hello")
    report.read_back("… read her posts", lambda: app.titles_by(ann), expected=["Hello"])

    with report.write("update: she moves to Lima"):
        app.move(ann, "Lima")
    report.read_back("… read where she lives", lambda: app.city_of(ann), expected="Lima")

    with report.write("transaction: commit") as commit, app.db.atomic():
        with report.step("transaction: insert a post", Kind.OTHER):
            app.publish(ann, "Moving")
        with report.step("transaction: insert another", Kind.OTHER):
            app.publish(ann, "Moved")
        three = ["Hello", "Moving", "Moved"]
        report.read_back("transaction: read them in it", lambda: app.titles_by(ann), expected=three, kind=Kind.CHECK)
        commit.start()  # the rest of the block is the commit
    report.read_back("… read them after it", lambda: app.titles_by(ann), expected=three)

    report.violate("another ann: IntegrityError, user_name", lambda: app.sign_up("ann"), constraint="user_name")
    report.read_back("… read: ann is unchanged", lambda: app.find("ann"), expected=ann, kind=Kind.CHECK)


def with_pony(report: Reporter) -> None:
    """Write and read through the other ORM."""
    db = pony_app.connect()
    report.read("Pony: read ann's posts", lambda: pony_app.titles_by(db, "ann"))
    titles = ["One", "Two"]
    with report.write("Pony: a new user with 2 posts"):
        pony_app.sign_up(db, "bob", *titles)
    report.read_back("… read them after it", lambda: pony_app.titles_by(db, "bob"), expected=titles)


def compare(report: Reporter) -> None:
    """One round of the operations to compare."""
    name = _new_name()
    report.read("read a user", lambda: app.find("editor"))
    report.read("read the front page: 10 posts, with authors", app.front_page)

    with report.write("insert a user"):
        user = app.sign_up(name)
    report.read_back("read back what was written", lambda: app.find(name), expected=user)
    with report.write("insert a post"):
        app.publish(user, "one")
    report.read_back("read back what was written", lambda: app.titles_by(user), expected=["one"])
    with report.write("update a user"):
        app.move(user, "Oslo")
    report.read_back("read back what was written", lambda: app.city_of(user), expected="Oslo")

    with report.write("transaction: 3 inserts"):
        app.publish_all(user, ["two", "three", "four"])
    report.read_back("read back what was written", lambda: len(app.titles_by(user)), expected=4)

    with report.write("a web page: 5 reads and a write"):
        for _ in range(5):
            app.front_page()
        app.publish(user, "five")
    report.read_back("read back what was written", lambda: len(app.titles_by(user)), expected=5)


def arrive(_report: Reporter) -> None:
    """Write a few rows, so that all connections are open."""
    for _ in range(5):
        app.sign_up(_new_name())


def each(report: Reporter) -> None:
    """The hard work as a plain loop."""
    _work(report, app.publish_each)


def transaction(report: Reporter) -> None:
    """The hard work in one transaction."""
    _work(report, app.publish_all)


def function(report: Reporter) -> None:
    """The hard work next to the primary."""
    _work(report, app.publish_there)


def _work(report: Reporter, publish: Callable[[app.User, list[str]], None]) -> None:
    author = app.sign_up(_new_name())
    titles = [f"part {number}" for number in range(ITEMS)]
    with report.write("publish"):
        publish(author, titles)
    report.read_back("read back what was written", lambda: app.titles_by(author), expected=titles)


def _new_name() -> str:
    return f"visitor {os.getpid()}.{next(_numbers)}"


SCRIPTS = {
    "prepare": prepare,
    "tour": tour,
    "with_pony": with_pony,
    "compare": compare,
    "arrive": arrive,
    "each": each,
    "transaction": transaction,
    "function": function,
}


def main() -> None:
    """Play the scripts named on stdin."""
    app.db.connect()
    report = Reporter(os.environ.get("FLY_REGION", ""), lambda step: print(step.encode(), flush=True))
    for line in sys.stdin:
        SCRIPTS[line.strip()](report)
        print(END, flush=True)


if __name__ == "__main__":
    main()
