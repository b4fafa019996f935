"""What Pony's suite binds its databases with."""

import json
import os

settings = {"provider": "postgres", **json.loads(os.environ["CONFORMANCE_DATABASE"])}
