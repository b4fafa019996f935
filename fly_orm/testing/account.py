"""The operating-system user that runs the test servers, since Postgres refuses to run as root."""

from __future__ import annotations

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fly_orm.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Account:
    """An unprivileged user and group, to which root gives its child processes and their files."""

    uid: int
    gid: int

    @property
    def popen_options(self) -> dict[str, Any]:
        """The keywords that make ``subprocess.Popen`` run its child as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}

    def give(self, path: Path) -> None:
        """Make this user the owner of ``path``."""
        os.chown(path, self.uid, self.gid)

    def admit(self, folder: Path) -> None:
        """Let this user enter ``folder``, but neither list nor change it; the current user stays its owner."""
        os.chown(folder, -1, self.gid)
        folder.chmod(0o710)


def server_account() -> Account | None:
    """The account that must run the servers, or None if the current user can run them itself.

    ConfigurationError if the current user is root and there is no user "nobody".
    """
    if os.geteuid() != 0:
        return None
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise ConfigurationError(
            "PostgreSQL does not run as root, and there is no user 'nobody' to run it as; run the tests as another user"
        ) from None
    return Account(uid=nobody.pw_uid, gid=nobody.pw_gid)
