"""A Django project. The tests lead its databases to the servers that they need."""

import json
import os

SECRET_KEY = "of a test"
STATIC_URL = "/static/"
USE_TZ = True
TIME_ZONE = "Europe/Berlin"
ROOT_URLCONF = "django_shop.urls"
ALLOWED_HOSTS = ["*"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "fly_orm_django",
    "django_shop",
]
MIDDLEWARE = ["fly_orm_django.middleware.TokenMiddleware"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]

_ADDRESS = json.loads(os.environ.get("SHOP_DATABASE", '{"NAME": "shop", "HOST": "/nowhere"}'))
DATABASES = {
    "default": {"ENGINE": "fly_orm_django", "USER": "postgres", "CONN_MAX_AGE": 60, **_ADDRESS},
    # Not routed: what is really on the primary.
    "primary": {"ENGINE": "django.db.backends.postgresql", "USER": "postgres", "NAME": "shop", "HOST": "/nowhere"},
    "files": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
}
