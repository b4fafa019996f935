"""The settings of the project. The lines with fly_orm make it run in several regions."""

from fly_orm_django import database

SECRET_KEY = "for development"  # noqa: S105
DEBUG = True
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "examples.guestbook_django.views"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True

DATABASES = {"default": database()}  # the ENGINE is fly_orm_django, and DATABASE_URL says where the server is
INSTALLED_APPS = ["fly_orm_django", "examples.guestbook_django"]
MIDDLEWARE = [
    "fly_orm_django.middleware.TokenMiddleware",  # each request goes on from the client's last one
    "examples.guestbook_django.middleware.Unavailable",
]
