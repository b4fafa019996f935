"""Lets fly_orm's own errors through, where Django replaces those of the driver by its own."""

from __future__ import annotations

from types import TracebackType

from django.db import utils

from fly_orm.errors import FlyOrmError


class DatabaseErrorWrapper(utils.DatabaseErrorWrapper):  # type: ignore[misc]  # Django has no types
    """fly_orm's errors already are instances of Django's classes, and stay as they are, attributes included."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, FlyOrmError):
            self.wrapper.errors_occurred = True  # so that Django looks whether the connection can still be used
        else:
            super().__exit__(kind, error, traceback)
