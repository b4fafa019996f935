"""What psycopg2's callers see: its connections and cursors, routed.

May import ``routing`` and what that may import.
"""
