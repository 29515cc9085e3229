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
from durable.broker.transport import Channel

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


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("", "redis://default/0"),
        ("redis://h", "redis://h/0"),
        ("redis://h/", "redis://h/0"),
        ("redis://ann:p%23@h:1/15", "redis://ann:p%23@h:1/15"),
        ("redis://h?db=2", "redis://h/2"),
        ("rediss://h/1?ssl_cert_reqs=CERT_NONE", "rediss://h/1?ssl_cert_reqs=none"),
        ("rediss://h/1?ssl_ca_certs=/a/b.pem&db=2", "rediss://h/2?ssl_ca_certs=/a/b.pem"),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock?db=2"),
    ],
)
def test_the_url_of_redis_gets_the_form_that_all_clients_understand(monkeypatch, url, expected):
    monkeypatch.setenv("ANY_URL", url)

    assert env.redis_url("ANY_URL", default="redis://default/0") == expected


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("amqp://h", "amqp: use redis://"),
        ("h:6379", "use redis://"),
        ("redis", "no scheme: use redis://"),
        ("redis://h/cache", "the database is not a number"),
        ("redis://:secret/x@h", "in the password, write %2F for /"),
        ("redis://h?socket_timeout=3", "socket_timeout: use no options but"),
        ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs is none, optional or required"),
    ],
)
def test_an_odd_url_of_redis_is_refused_by_the_name_of_its_variable(monkeypatch, url, reason):
    monkeypatch.setenv("ANY_URL", url)

    with pytest.raises(ImproperlyConfigured, match=r"^ANY_URL: ") as refused:
        env.redis_url("ANY_URL", default="redis://default/0")
    assert reason in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["redis://h:1/15", "redis://h?db=2", "unix:///redis.sock?db=3"])
def test_broker_and_cache_use_the_same_database(broker, monkeypatch, url):
    monkeypatch.setenv("REDIS_URL", url)
    made = runpy.run_path(str(settings.BASE_DIR / "config/settings/redis.py"))
    cache = redis.connection.parse_url(made["CACHES"]["default"]["LOCATION"])
    monkeypatch.setitem(sys.modules, "config.settings.redis", SimpleNamespace(**made))

    channel = broker("").transport.Channel.__new__(Channel)
    channel.connection = broker("").transport
    parameters = channel._connparams()

    for name in ("db", "path", "host", "port"):
        assert parameters.get(name) == cache.get(name, parameters.get(name))


@pytest.mark.parametrize("prefix", ["*", "a[b]"])
def test_a_prefix_that_is_a_pattern_is_refused(monkeypatch, prefix):
    monkeypatch.setenv("REDIS_PREFIX", prefix)

    with pytest.raises(ImproperlyConfigured, match="REDIS_PREFIX"):
        runpy.run_path(str(settings.BASE_DIR / "config/settings/redis.py"))


@pytest.mark.parametrize(
    ("read", "default"),
    [(env.str, "a"), (env.int, 1), (env.float, 1.5), (env.bool, True), (env.comma_separated, "a")],
)
def test_an_empty_variable_counts_as_missing(monkeypatch, read, default):
    monkeypatch.delenv("ANY", raising=False)
    missing = read("ANY", default=default)
    monkeypatch.setenv("ANY", "")

    assert read("ANY", default=default) == missing


@pytest.mark.parametrize("read", [env.int, env.float])
def test_a_text_in_place_of_a_number_is_refused_by_its_name(monkeypatch, read):
    monkeypatch.setenv("SECONDS", "ten")

    with pytest.raises(ImproperlyConfigured, match=r"^SECONDS: "):
        read("SECONDS", default=1)


def test_blanks_around_commas_do_not_count(monkeypatch):
    monkeypatch.setenv("HOSTS", " a.example.com, b.example.com ,")

    assert env.comma_separated("HOSTS") == ["a.example.com", "b.example.com"]


@pytest.mark.parametrize("url", ["https://example.com/", " https://example.com", ""])
def test_paths_can_be_appended_to_a_base_url(monkeypatch, url):
    monkeypatch.setenv("URL", url)

    assert env.base_url("URL", default="https://example.com/") == "https://example.com"


def test_a_base_url_without_a_scheme_is_refused(monkeypatch):
    monkeypatch.setenv("URL", "example.com")

    with pytest.raises(ImproperlyConfigured, match=r"URL=example.com: .* https://example.com"):
        env.base_url("URL", default="")


def production(**environment):
    """Return how production's settings load: nothing, or the last line of the error."""
    done = subprocess.run(
        [sys.executable, "-c", "import config.settings.production"],
        cwd=settings.BASE_DIR,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stderr.strip().rpartition("\n")[2].partition("ImproperlyConfigured: ")[2]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("SECRET_KEY", "change-me", "replace change-me by a random text"),
        ("DATABASE_URL", "postgres://me:change-me@db/me", "replace change-me by a random text"),
        ("SECRET_KEY", "", "SECRET_KEY is missing or empty"),
        ("DATABASE_URL", "", "DATABASE_URL is missing or empty"),
        ("FRONTEND_URL", "http://example.com", "links in mails need https://"),
        ("REDIS_URL", "amqp://h", "use redis://"),
    ],
)
def test_production_does_not_start_with_a_value_that_is_unsafe(name, value, reason):
    refused = production(**{name: value})

    assert refused.startswith(name)
    assert reason in refused


def test_production_starts_on_a_developers_machine():
    assert not production(FRONTEND_URL="http://localhost:8000/", SECRET_KEY="unused")


def test_browsers_remember_https_for_an_hour_until_it_is_raised(monkeypatch):
    for name, value in {"SECRET_KEY": "unused", "FRONTEND_URL": "https://example.com"}.items():
        monkeypatch.setenv(name, value)

    made = runpy.run_path(str(settings.BASE_DIR / "config/settings/production.py"))

    assert made["SECURE_HSTS_SECONDS"] == 3600
    assert not made["SECURE_HSTS_INCLUDE_SUBDOMAINS"]
    assert not made["SECURE_HSTS_PRELOAD"]


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
