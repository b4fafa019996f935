"""The settings of Django's suite, which needs two databases. Only the test databases of these names exist."""

import json
import os

_GIVEN = json.loads(os.environ["CONFORMANCE_DATABASE"])
_ADDRESS = {"USER": _GIVEN["user"], "HOST": _GIVEN["host"], "PORT": _GIVEN["port"]}

DATABASES = {
    name: {"ENGINE": "django.db.backends.postgresql", "NAME": name, **_ADDRESS} for name in ("default", "other")
}
SECRET_KEY = "of the suite"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = False
