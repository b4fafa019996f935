"""An application with job queues: what Celery, Huey and RQ run in workers of every kind, and what it keeps of it."""
