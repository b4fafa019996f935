"""What Pony's suite binds its databases with; it executes the file that ``pony_test_db`` names."""

import json
import os

settings = {"provider": "postgres", **json.loads(os.environ["CONFORMANCE_DATABASE"])}
