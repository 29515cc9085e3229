"""Development: reads `.env`, shows mails in the admin instead of sending them, and needs no servers."""

import os
from urllib.parse import quote

from config.settings.env import BASE_DIR, VAR_DIR, env

VAR_DIR.mkdir(exist_ok=True)
env.read_env(BASE_DIR / ".env")
# Quoted: a # in the folder's name would end the path.
os.environ.setdefault("DATABASE_URL", f"sqlite:///{quote(str(VAR_DIR / 'db.sqlite3'))}")
os.environ.setdefault("LOG_FORMAT", "console")
os.environ.setdefault("WORKER_SOFT_SHUTDOWN_TIMEOUT", "2")  # seconds; each reload waits for it
# `make dev` stores the URL of its Redis here, so that other terminals use the same one.
if (published := VAR_DIR / "redis-url").exists():
    os.environ.setdefault("REDIS_URL", published.read_text().strip())
# Unless .env names a server, a mail is marked as sent and shown in the admin.
os.environ.setdefault("EMAIL_URL", "dummymail://")
# % if cookiecutter.use_examples
# The fake gateway of the Procfile.
gateway_port = env.int("GATEWAY_PORT", default=8010)
os.environ.setdefault("PAYMENT_GATEWAY_URL", f"http://127.0.0.1:{gateway_port}")
# % endif

from config.settings.base import *  # noqa: E402

DEBUG = True
ALLOWED_HOSTS = ["*"]
FRONTEND_URL = env.base_url("FRONTEND_URL", default="http://localhost:8000")
