import os
import runpy
import shutil
import ssl
import subprocess
import sys
from types import SimpleNamespace

import pytest
import redis
from celery import Celery
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config.settings.env import env

BROKER = "rediss://redis.example.com:6380/0"


@pytest.fixture
def broker(monkeypatch):
    """Return a function that gives the connection to the broker at a URL, which is not opened."""

    def connection(url):
        monkeypatch.setenv("CELERY_BROKER_URL", url)
        made = runpy.run_path(str(settings.BASE_DIR / "config/settings/celery.py"))
        app = Celery(set_as_current=False)
        app.config_from_object(SimpleNamespace(**made), namespace="CELERY")
        return app.connection_for_write()

    return connection


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        ("", ssl.CERT_REQUIRED),
        ("?ssl_ca_certs=/etc/ssl/own.pem", ssl.CERT_REQUIRED),
        ("?ssl_cert_reqs=none", ssl.CERT_NONE),
    ],
)
def test_the_brokers_certificate_is_checked_unless_its_url_says_otherwise(broker, options, mode):
    assert redis.SSLConnection(**broker(BROKER + options).ssl).cert_reqs == mode


def test_a_broker_without_tls_is_asked_for_none(broker):
    assert not broker("redis://redis.example.com:6379/0").ssl


def test_sqlite_stays_in_a_folder_with_an_odd_name(tmp_path):
    folder = tmp_path / "a#b?c%20d+e"
    shutil.copytree(settings.BASE_DIR / "config", folder / "config")
    source = "from config.settings.local import DATABASES; print(DATABASES['default']['NAME'])"
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}

    done = subprocess.run(
        [sys.executable, "-c", source],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout == f"{folder / 'var/db.sqlite3'}\n", done.stderr


def test_an_empty_secret_of_the_provider_is_missing(monkeypatch):
    name = "SECRET_OF_THE_PROVIDER"
    monkeypatch.setenv(name, "")
    monkeypatch.setenv("EMAIL_URL", "")
    with pytest.raises(ImproperlyConfigured, match=f"{name} is missing or empty"):
        env.of_provider(name)

    monkeypatch.setenv("EMAIL_URL", "smtp://localhost")
    assert env.of_provider(name)
