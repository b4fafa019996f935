"""Runs a primary in "syd" and its replica in "lax", until it is stopped. Writes the environment of each into a file."""

from __future__ import annotations

import signal
from pathlib import Path
from secrets import token_urlsafe

from fly_orm.testing import Cluster

DATABASE = "guestbook"


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    secrets = {"FLY_ORM_SECRET": token_urlsafe(32), "SECRET_KEY": token_urlsafe(32)}
    with Cluster.start() as cluster:
        cluster.create_database(DATABASE)
        cluster.wait_for_replica()
        files = [Path("syd.env"), Path("lax.env")]
        for file, server in zip(files, (cluster.primary, cluster.replica), strict=True):
            variables = {
                "DATABASE_URL": f"postgresql+pool://postgres@/{DATABASE}?host={server.host}&port={server.port}&timeout=10",
                "MY_REGION": file.stem,
                "PRIMARY_REGION": "syd",
                "FLY_ORM_NODES": "syd=127.0.0.1:7654",
                "SHOW_TIMING": "on",
                **secrets,
            }
            file.write_text("".join(f"export {name}='{value}'\n" for name, value in variables.items()))
        print("the servers run; syd.env and lax.env have the variables of each region", flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})
        for file in files:
            file.unlink(missing_ok=True)


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    main()
