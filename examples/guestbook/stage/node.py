"""The node of a region: ``fly-orm serve`` for the guest book, which ends when the stage does, however that ends."""

from __future__ import annotations

import sys

from fly_orm.cli import main

from .child import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    sys.exit(main(["serve", "examples.guestbook.app:db", "--listen", "127.0.0.1:0"]))
