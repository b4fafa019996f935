"""The operating-system user that test servers run as: Postgres refuses to run as root."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fly_orm.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Account:
    """A user and group without privileges, which root hands its child processes and their files to."""

    uid: int
    gid: int

    @property
    def popen_options(self) -> dict[str, Any]:
        """The keywords that make ``subprocess.Popen`` run its child as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Make ``path`` this user's."""
        os.chown(path, self.uid, self.gid)

    def admit(self, folder: Path) -> None:
        """Let this user into ``folder``, which stays the current user's: it can neither list nor change it."""
        os.chown(folder, -1, self.gid)
        folder.chmod(0o710)


def server_account() -> Account | None:
    """The account that servers have to run as, or None when the current user may run them itself."""
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise ConfigurationError(
            "PostgreSQL does not run as root, and there is no user 'nobody' to run it as: use another user"
        ) from None
    return Account(uid=nobody.pw_uid, gid=nobody.pw_gid)
