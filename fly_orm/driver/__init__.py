"""What psycopg2's callers see: its connections and cursors, routed."""
