"""A developer's machine: `.env` is read, mail stays in the admin, nothing needs to be installed."""

import os
from urllib.parse import quote

from config.settings.env import BASE_DIR, VAR_DIR, env

VAR_DIR.mkdir(exist_ok=True)
env.read_env(BASE_DIR / ".env")
# Quoted, or a # in the folder's name would end the path.
os.environ.setdefault("DATABASE_URL", f"sqlite:///{quote(str(VAR_DIR / 'db.sqlite3'))}")
os.environ.setdefault("LOG_FORMAT", "console")
os.environ.setdefault("WORKER_SOFT_SHUTDOWN_TIMEOUT", "2")  # seconds; a reload waits for it
# `make dev` writes down which Redis it took, so that every other terminal finds the same.
if (noted := VAR_DIR / "redis-url").exists():
    os.environ.setdefault("REDIS_URL", noted.read_text().strip())
# Unless .env names a server, a mail counts as sent and is read in the admin.
os.environ.setdefault("EMAIL_URL", "dummymail://")
# % if cookiecutter.use_examples
# The fake one that the Procfile starts.
os.environ.setdefault("PAYMENT_GATEWAY_URL", "http://127.0.0.1:8010")
# % endif

from config.settings.base import *  # noqa: E402

DEBUG = True
ALLOWED_HOSTS = ["*"]
FRONTEND_URL = env.str("FRONTEND_URL", default="http://localhost:8000")
