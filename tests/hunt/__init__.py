"""A hunt for stale reads while replicas pause, servers crash and regions fail over. ``make hunt`` runs it."""
