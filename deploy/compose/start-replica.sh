#!/bin/sh
# Copies the primary the first time, and then runs the replica. PGPASSWORD is in the environment.
set -eu
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    chmod 700 "$PGDATA"
    pg_basebackup --pgdata="$PGDATA" --slot=lax --write-recovery-conf --checkpoint=fast \
        --dbname="host=postgres-syd user=postgres application_name=lax"
fi
exec postgres -c hot_standby_feedback=on
