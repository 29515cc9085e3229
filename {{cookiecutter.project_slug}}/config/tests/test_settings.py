import os
import runpy
import shutil
import socket
import ssl
import subprocess
import sys
from types import SimpleNamespace

import pytest
import redis
from celery import Celery
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from psycopg.conninfo import make_conninfo
from psycopg.pq import PGconn

from config.settings.env import env

BROKER = "rediss://redis.example.com:6380/0"


@pytest.fixture
def broker(monkeypatch):
    """Return a function that returns an unopened connection to the broker at a URL."""

    def connection(url):
        monkeypatch.setenv("CELERY_BROKER_URL", url)
        made = runpy.run_path(str(settings.BASE_DIR / "config/settings/celery.py"))
        app = Celery(set_as_current=False)
        app.config_from_object(SimpleNamespace(**made), namespace="CELERY")
        return app.connection_for_write()

    return connection


@pytest.fixture
def database_options(monkeypatch):
    """Return a function that returns the options of the database at a URL."""

    def options(url):
        monkeypatch.setenv("DATABASE_URL", url)
        made = runpy.run_path(str(settings.BASE_DIR / "config/settings/base.py"))
        return made["DATABASES"]["default"]["OPTIONS"]

    return options


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        ("", ssl.CERT_REQUIRED),
        ("?ssl_ca_certs=/etc/ssl/own.pem", ssl.CERT_REQUIRED),
        ("?ssl_cert_reqs=none", ssl.CERT_NONE),
    ],
)
def test_the_brokers_certificate_is_verified_unless_its_url_says_otherwise(broker, options, mode):
    assert redis.SSLConnection(**broker(BROKER + options).ssl).cert_reqs == mode


def test_a_broker_without_tls_gets_no_tls_options(broker):
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


if sys.platform == "linux":  # other systems have no TCP_USER_TIMEOUT

    def test_a_dead_database_connection_fails_after_15_seconds(database_options):
        options = database_options("postgres://user@localhost/service")

        with socket.create_server(("127.0.0.1", 0)) as server:
            host, port = server.getsockname()
            connection = PGconn.connect_start(
                make_conninfo(host=host, port=port, **options).encode()
            )
            with socket.socket(fileno=os.dup(connection.socket)) as wire:
                timeout = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
                probed_after = wire.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
            connection.finish()

        assert (timeout, probed_after) == (15_000, 5)


def test_options_in_the_database_url_win(database_options):
    url = "postgres://user@localhost/service?tcp_user_timeout=60000&target_session_attrs=any"

    options = database_options(url)

    assert options["tcp_user_timeout"] == 60_000
    assert options["target_session_attrs"] == "any"
    assert options["connect_timeout"] == 5


def test_an_empty_secret_of_the_provider_is_missing(monkeypatch):
    name = "SECRET_OF_THE_PROVIDER"
    monkeypatch.setenv(name, "")
    monkeypatch.setenv("EMAIL_URL", "")
    with pytest.raises(ImproperlyConfigured, match=f"{name} is missing or empty"):
        env.of_provider(name)

    monkeypatch.setenv("EMAIL_URL", "smtp://localhost")
    assert env.of_provider(name)
