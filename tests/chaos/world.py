"""The service under test: two workers, two Beats, who publishes, and what counts."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scripts.demo import free_port
from tests.chaos.alerts import TOKEN, Alerts
from tests.chaos.processes import Process, Supervisor
from tests.chaos.report import KINDS, Count
from tests.chaos.servers import PostgreSQL, Redis, SQLite

HERE = Path(__file__).parent
LOAD = 1000  # calls of each kind in each row
CONCURRENCY = 2  # pool processes of a worker
QUIET = 15.0  # seconds of load without a fault
HOUR = 360.0  # seconds; an hour by the rules whose durations are divided by ten
PATIENCE = 120.0  # seconds; nothing waits that long unless something is broken
FLOWING = 50  # runs of each kind until a fault begins
GLANCE = 0.1  # seconds between two looks at how much has run
LOOK = 0.5  # seconds between two looks at what has run: each reads it all
STILL = 60.0  # seconds without progress after which nothing more is expected
# What is under way, by table and status.
UNDER_WAY = {"mail_email": ("queued", "sending"), "tasks_taskrun": ("queued", "running")}
DAILY = "task = 'chaos.daily'"
LEFT_BY_A_ROW = ("mail_emailevent", "mail_email", "tasks_taskrun")
DATABASES = {"postgresql": PostgreSQL, "sqlite": SQLite}
KEYS = "my_service:broker:"  # how the broker's keys begin
QUEUES = ("default", "emails", "reports")
SECRET = "this key protects nothing, it is only long enough for the checks 0123456789"


def wait_until(condition: Callable[[], object], patience: float = PATIENCE) -> None:
    """Return once `condition` holds; fail after `patience` seconds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"waited {patience:g} s for {condition}"
        time.sleep(0.02)


class World:
    """A project with everything it needs, for all rows: starting it takes longer than a row.

    Args:
        project: a rendered project, which gets the modules of tests/chaos/project.
        folder: for logs and what Redis keeps.
        database: one of DATABASES.
        without: a folder that hides from Python what its processes need not load.
        promtool: the program beside which Prometheus lies; None if there is none.
    """

    def __init__(
        self, project: Path, folder: Path, database: str, without: Path, promtool: Path | None
    ) -> None:
        self.project, self.folder, self.stack = project, folder, ExitStack()
        self.without = without
        self.quiet = QUIET
        with self.stack:
            self.ledger = self.redis_in("ledger", keeps=False)
            self.redis = self.redis_in("broker", keeps=True)
            self.database = DATABASES[database]()
            self.stack.callback(self.database.remove)
            self.smtp_port, self.web_port = free_port(), free_port()
            self.environment = self.make_environment()
            # Workers and Beats import for as long as this takes, and bear a database that is not there yet.
            migration = self.process("migrate", "manage.py", "migrate", "--verbosity", "0")
            self.start_processes()
            self.alerts = self.start_alerts(promtool) if promtool else None
            assert migration.process.wait() == 0, "\n".join(self.tails(40))
            self.stack = self.stack.pop_all()

    def redis_in(self, name: str, *, keeps: bool) -> Redis:
        """Start a Redis that ends with this world."""
        (self.folder / name).mkdir()
        server = Redis(self.folder / name, keeps=keeps)
        self.stack.callback(server.kill)
        return server

    def make_environment(self) -> dict[str, str]:
        """Return the environment of all processes of the service."""
        ours = ("DJANGO_", "CELERY_", "PYTHONDONTWRITEBYTECODE", "PYTEST_", "COV_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return kept | {
            "DJANGO_SETTINGS_MODULE": "chaos_settings",
            "PYTHONPATH": f"{self.project}:{self.without}",
            "SECRET_KEY": SECRET,
            "DATABASE_URL": self.database.url,
            "REDIS_URL": self.redis.url,
            "LEDGER_URL": self.ledger.url,
            "EMAIL_URL": f"smtp://127.0.0.1:{self.smtp_port}",
            "METRICS_TOKEN": TOKEN,
            "EMAIL_TIMEOUT": "2",  # seconds
            "WORKER_SOFT_SHUTDOWN_TIMEOUT": "2",  # seconds
            "WORKER_BROKER_TIMEOUT": "2",  # seconds
            "REMAP_SIGTERM": "SIGQUIT",
            "LOG_FORMAT": "console",
            "LOG_LEVEL": "WARNING",
        }

    def start_processes(self) -> None:
        """Start the SMTP server, web, workers, Beats and who publishes, under a supervisor."""
        celery = ("-m", "celery", "-A", "config")
        alone = ("--without-mingle", "--without-gossip")  # as everywhere in production
        pulse = ("--heartbeat-interval", "1")  # second
        worker = (*celery, "worker", *alone, *pulse, "-c", str(CONCURRENCY), "-n")
        beat = (*celery, "beat", "--schedule", "unused", "--pidfile", "")
        self.smtp = self.process(
            "smtp", str(HERE / "sink.py"), str(self.smtp_port), self.ledger.url
        )
        self.web = self.process(
            "web", "-m", "uvicorn", "chaos_web:application", "--port", str(self.web_port)
        )
        self.workers = [
            self.process(name, *worker, f"{name}@%h") for name in ("worker1", "worker2")
        ]
        self.beats = [self.process(name, *beat) for name in ("beat1", "beat2")]
        self.publisher = self.start_publisher()
        supervisor = Supervisor([self.smtp, self.web, *self.workers, *self.beats])
        supervisor.start()
        self.stack.callback(supervisor.stop)

    def start_alerts(self, promtool: Path) -> Alerts:
        """Start the Prometheus that scrapes web."""
        folder = self.folder / "prometheus"
        folder.mkdir()
        return self.stack.enter_context(Alerts(promtool, folder, self.project, self.web_port))

    def process(self, name: str, *arguments: str) -> Process:
        """Start a Python process that ends with this world."""
        process = Process(
            name,
            (sys.executable, *arguments),
            folder=self.project,
            log=self.folder / f"{name}.log",
            environment=self.environment,
        )
        self.stack.callback(process.stop)
        return process

    def start_publisher(self) -> subprocess.Popen[str]:
        """Start the process that publishes the load."""
        with (self.folder / "publisher.log").open("ab") as log:
            publisher = subprocess.Popen(
                [sys.executable, "-m", "chaos_load"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=self.project,
                env=self.environment,
            )
        self.stack.callback(publisher.kill)
        return publisher

    def ready(self) -> list[Process]:
        """Return the workers that consume."""
        ready = set(self.ledger.client.lrange("ready", 0, -1))
        return [
            worker
            for worker in self.workers
            if worker.process.poll() is None and str(worker.process.pid) in ready
        ]

    def publish(self, row: str, load: int) -> None:
        """Begin to publish the load of a row: so many calls of each kind."""
        self.row, self.load = row, load
        assert self.publisher.stdin
        print(row, load, file=self.publisher.stdin, flush=True)

    def accepted(self) -> dict[str, list[str]]:
        """Wait until the load is published, and return what was accepted, by kind."""
        assert self.publisher.stdout
        answers: Iterable[tuple[str, dict[str, list[str]]]] = map(json.loads, self.publisher.stdout)
        # A row that failed half-way has left its answer behind.
        return next(accepted for row, accepted in answers if row == self.row)

    def wait_for_work(self, kinds: Iterable[str]) -> None:
        """Wait until all workers consume, some of each of these kinds has run, and web was scraped."""
        self.wait_for_workers()
        wait_until(lambda: all(self.ledger.client.llen(kind) >= FLOWING for kind in kinds))
        if self.alerts:
            wait_until(self.alerts.sees_the_service)

    def runs(self, kind: str) -> list[str]:
        """Return what has run, once for each run."""
        found: list[str] = self.ledger.client.lrange(kind, 0, -1)
        return found

    def rows_under_way(self) -> int:
        """Return how many rows have not come to their end."""
        return sum(
            self.database.execute(f"SELECT count(*) FROM {table} WHERE status IN {statuses}")[0][0]
            for table, statuses in UNDER_WAY.items()
        )

    def messages(self) -> int:
        """Return how many messages the broker holds, handed out or not."""
        with self.redis.client.pipeline() as pipe:
            pipe.hlen(f"{KEYS}unacked")
            for queue in QUEUES:
                pipe.llen(f"{KEYS}{queue}")
            return sum(pipe.execute())

    def is_quiet(self) -> bool:
        """Whether nothing is under way any more."""
        return self.messages() == 0 and self.rows_under_way() == 0

    def wait_for(self, accepted: dict[str, list[str]]) -> dict[str, float]:
        """Return, by kind, when all that was accepted had run, or the last of it that ever did."""
        seen, since = self.missing(accepted), dict.fromkeys(accepted, time.monotonic())
        while any(seen.values()):
            self.await_runs(accepted)
            missing, now = self.missing(accepted), time.monotonic()
            since |= {kind: now for kind in missing if missing[kind] != seen[kind]}
            if missing == seen and self.is_quiet() and self.missing(accepted) == seen:
                break
            assert now - max(since.values()) < STILL, f"{missing} wait, and nothing moves"
            seen = missing
        return since

    def await_runs(self, accepted: dict[str, list[str]]) -> None:
        """Return when there were as many runs as calls, or after LOOK seconds."""
        deadline = time.monotonic() + LOOK
        while time.monotonic() < deadline:
            time.sleep(GLANCE)
            runs = self.ledger.client
            if all(runs.llen(kind) >= len(names) for kind, names in accepted.items()):
                return

    def missing(self, accepted: dict[str, list[str]]) -> dict[str, int]:
        """Return how much of what was accepted has not run, by kind."""
        return {kind: len({*names} - {*self.runs(kind)}) for kind, names in accepted.items()}

    def count(self, accepted: dict[str, list[str]], seconds: dict[str, float]) -> dict[str, Count]:
        """Return what came of everything, once nothing is under way."""
        wait_until(self.is_quiet)
        counts = {}
        for kind, names in accepted.items():
            expected = {*names}
            runs = [name for name in self.runs(kind) if name in expected]
            done = len({*runs})
            counts[kind] = Count(len(names), done, len(runs) - done, max(0.0, seconds[kind]))
        return counts

    def leading_beat(self) -> Process:
        """Return the Beat that leads."""
        ((holder,),) = self.database.execute("SELECT holder FROM tasks_beatleader")
        return next(beat for beat in self.beats if str(beat.process.pid) == holder.split()[-1])

    def make_daily_tick_due(self) -> None:
        """Let the daily task look as if it had run the day before yesterday, and tell Beat."""
        before = datetime.now(UTC) - timedelta(days=2)
        self.database.execute(
            f"UPDATE django_celery_beat_periodictask SET last_run_at = '{before}' WHERE {DAILY}"
        )
        self.database.execute(
            f"UPDATE django_celery_beat_periodictasks SET last_update = '{datetime.now(UTC)}'"
        )

    def is_daily_tick_saved(self) -> bool:
        """Whether Beat has saved that the daily task was fired."""
        ((last,),) = self.database.execute(
            f"SELECT last_run_at FROM django_celery_beat_periodictask WHERE {DAILY}"
        )
        return bool(last > datetime.now(UTC) - timedelta(days=1))

    def set_manner(self, manner: str) -> None:
        """Tell the SMTP server how to behave; see sink.py."""
        self.ledger.client.set("smtp", manner)

    def restart_workers(self, **environment: str) -> None:
        """Let the supervisor start the workers anew, with other variables."""
        for worker in self.workers:
            worker.environment |= environment
            worker.kill()

    def wait_for_workers(self) -> None:
        """Wait until all workers consume."""
        wait_until(lambda: len(self.ready()) == len(self.workers))

    def clean(self) -> None:
        """Bring everything back to where a row begins; workers may still be starting."""
        for table in LEFT_BY_A_ROW:
            self.database.execute(f"DELETE FROM {table}")
        self.redis.client.flushall()
        self.ledger.client.delete("smtp", "daily", *KINDS)
        if self.alerts:
            self.alerts.forget()

    def story(self, lines: int = 15) -> str:
        """Return what has failed, and what each process has written last."""
        return "\n".join([*self.failed(), *self.tails(lines)])

    def failed(self) -> Iterable[str]:
        """Yield what is not done, and why."""
        rows = self.database.execute(
            "SELECT name, status, last_error, worker, attempts, crashes, lease_until, CURRENT_TIMESTAMP "
            "FROM tasks_taskrun WHERE status <> 'done' LIMIT 20"
        )
        return (" ".join(map(str, row)) for row in rows)

    def tails(self, lines: int) -> Iterable[str]:
        """Yield the last lines of each log."""
        for path in sorted(self.folder.glob("*.log")):
            text = path.read_text(encoding="utf-8", errors="replace").splitlines()
            yield f"--- {path.name}\n" + "\n".join(line[:200] for line in text[-lines:])

    def end(self) -> None:
        """Stop everything."""
        self.stack.close()
