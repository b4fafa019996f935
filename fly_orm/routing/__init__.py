"""The routing connection and cursor: psycopg2's own, except that each statement runs where it belongs."""
