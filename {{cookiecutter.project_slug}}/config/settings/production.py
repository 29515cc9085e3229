"""Production: everything comes from the environment; a missing variable stops the start."""

import os
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from config.settings.base import *
from config.settings.env import env

if placeholders := [name for name, value in os.environ.items() if "change-me" in value]:
    raise ImproperlyConfigured(
        f"{', '.join(placeholders)}: replace change-me by a random text: openssl rand -hex 32"
    )
if FRONTEND_URL.startswith("http:") and urlsplit(FRONTEND_URL).hostname not in {
    "localhost",
    "127.0.0.1",
}:
    raise ImproperlyConfigured(f"FRONTEND_URL={FRONTEND_URL}: links in mails need https://")

SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
# Browsers remember it and you cannot revoke it, so it starts small. To raise it, see docs/deploying.md.
SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=3600)  # an hour
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.bool("SECURE_HSTS_INCLUDE_SUBDOMAINS", default=False)
SECURE_HSTS_PRELOAD = env.bool("SECURE_HSTS_PRELOAD", default=False)
# They ask for subdomains and preload from the first answer on.
SILENCED_SYSTEM_CHECKS = [*SILENCED_SYSTEM_CHECKS, "security.W005", "security.W021"]
SESSION_COOKIE_SECURE = True
CSRF_COOKIE_SECURE = True

STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
}
