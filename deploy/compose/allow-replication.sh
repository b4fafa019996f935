#!/bin/sh
# Runs once, when the image postgres initializes the primary.
set -eu
echo "host replication postgres all scram-sha-256" >> "$PGDATA/pg_hba.conf"
psql --username=postgres --command="SELECT pg_create_physical_replication_slot('lax')"
