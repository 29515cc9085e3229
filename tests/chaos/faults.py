"""What is done to the service while it works. The first line of each says it to the reader of the table."""

import base64
import itertools
import json
import runpy
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.world import KEYS, QUEUES, World, wait_until
from tests.rendering import PROJECT, ROOT

Blackhole = runpy.run_path(str(ROOT / PROJECT / "durable/testing/blackhole.py"))["Blackhole"]

KILLS = 5  # of workers; each start of a worker takes seconds of both cores
CHILD_KILLS = 10  # of pool processes; a fork takes milliseconds
CUTS = 2  # of the workers' grace
CONNECTION_KILLS = 5  # of all connections to Redis
PURGES = 3  # by another service
CRASHES = 2  # of PostgreSQL
DEATHS = 2  # of both workers, between the provider's answer and the commit
REST = 3.0  # seconds between two loads, where nothing fails
OUTAGE = 10.0  # seconds
SMTP_OUTAGE = 40.0  # seconds
BEAT_OUTAGE = 12.0  # seconds
BEAT_LOOP = 1.0  # second, CELERY_BEAT_MAX_LOOP_INTERVAL
PAUSE = 5.0  # seconds; longer than any time-out of the broker here
ODD_MESSAGES = 2  # times all of them
BACKLOG = 3000  # plain messages
CLOCK_AHEAD = 20  # minutes
GRACE = 0.05  # seconds, where WORKER_SOFT_SHUTDOWN_TIMEOUT is 2


def leave_alone(world: World) -> None:
    """No fault."""
    deadline = time.monotonic() + world.quiet
    for number in itertools.count():
        world.wait_for(world.accepted())
        time.sleep(REST)
        world.publish(f"leave_alone_{number}", world.load)
        if time.monotonic() > deadline:
            return


def kill_workers(world: World) -> None:
    """A worker gets SIGKILL every second, five times."""
    for _ in range(KILLS):
        wait_until(world.ready)
        time.sleep(1)
        world.ready()[0].kill()


def kill_pool_children(world: World) -> None:
    """A process of a worker's pool gets SIGKILL, ten times."""
    for number in range(CHILD_KILLS):
        worker = world.workers[number % len(world.workers)]
        wait_until(worker.children)
        worker.children()[0].kill()
        time.sleep(0.5)


def cut_grace_short(world: World) -> None:
    """Both workers get SIGTERM, and SIGKILL long before their tasks can end, twice."""
    for _ in range(CUTS):
        world.wait_for_workers()
        time.sleep(1)
        for worker in world.workers:
            worker.process.send_signal(signal.SIGTERM)
        time.sleep(GRACE)
        for worker in world.workers:
            worker.kill()


def stop_redis(world: World) -> None:
    """Redis stops for 10 s and keeps its data (AOF)."""
    world.redis.stop()
    time.sleep(OUTAGE)
    world.redis.start()


def fill_redis(world: World) -> None:
    """Redis is full for 10 s (maxmemory), and refuses writes."""
    world.redis.client.config_set("maxmemory", 1)
    time.sleep(OUTAGE)
    world.redis.client.config_set("maxmemory", 0)


def empty_redis(world: World) -> None:
    """Redis has no AOF, gets SIGKILL and starts again empty."""
    world.redis.set_keeps(keeps=False)
    world.redis.kill()
    world.redis.start()
    world.redis.set_keeps(keeps=True)


def flush_redis(world: World) -> None:
    """FLUSHALL, twice."""
    for _ in range(2):
        world.redis.client.flushall()
        time.sleep(1)


def kill_connections(world: World) -> None:
    """CLIENT KILL of all connections to Redis, five times."""
    for _ in range(CONNECTION_KILLS):
        world.redis.client.execute_command("CLIENT KILL", "TYPE", "normal", "SKIPME", "yes")
        world.redis.client.execute_command("CLIENT KILL", "TYPE", "pubsub", "SKIPME", "yes")
        time.sleep(1)


def hang_redis(world: World) -> None:
    """Redis hangs for 10 s (SIGSTOP)."""
    world.redis.hang()
    time.sleep(OUTAGE)
    world.redis.hang(hung=False)


def pause_clients(world: World) -> None:
    """Redis answers no client for 5 s (CLIENT PAUSE)."""
    world.redis.client.execute_command("CLIENT", "PAUSE", int(PAUSE * 1000), "ALL")
    time.sleep(PAUSE)


def push_odd_messages(world: World) -> None:
    """Another program puts messages of odd forms between those of the service."""
    for _ in range(ODD_MESSAGES):
        for queue in QUEUES:
            world.redis.client.rpush(f"{KEYS}{queue}", *odd_messages())
        time.sleep(0.2)


def odd_messages() -> Iterator[str]:
    """Yield texts that are no messages, and messages with one part of another type."""
    yield from ("no json", '"text"', "[1, 2, 3]", "{}", "null", "[" * 2000)
    for part in ("body", "content-type", "content-encoding", "headers", "properties"):
        for value in (None, 7, "x", [], {}):
            yield json.dumps({**message(), part: value})


def message() -> dict[str, object]:
    """Return a message of a task that no worker knows."""
    name = str(uuid.uuid4())
    return {
        "body": base64.b64encode(b"[[], {}, {}]").decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {"id": name, "task": "chaos.unknown", "lang": "py"},
        "properties": {
            "correlation_id": name,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "default"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": name,
        },
    }


def share_redis(world: World) -> None:
    """Another service on the same Redis purges its queues and clears its cache, three times."""
    clear = "from django.core.cache import cache; cache.clear()"
    for _ in range(PURGES):
        for arguments in (
            ("-m", "celery", "-A", "config", "purge", "-f"),
            ("manage.py", "shell", "-c", clear),
        ):
            subprocess.run(
                [sys.executable, *arguments],
                cwd=world.project,
                env={**world.environment, "REDIS_PREFIX": "another_service"},
                stdout=subprocess.DEVNULL,
                check=True,
            )


def crash_postgresql(world: World) -> None:
    """PostgreSQL crashes and starts again, twice."""
    for _ in range(CRASHES):
        world.database.crash()
        time.sleep(1)
        world.database.start()
        time.sleep(1)


def stop_postgresql(world: World) -> None:
    """PostgreSQL is down for 10 s."""
    world.database.crash()
    time.sleep(OUTAGE)
    world.database.start()


def stop_smtp(world: World) -> None:
    """SMTP is down for 40 s (rejects, stalls, drops, 421, 451), then slow."""
    world.smtp.stop()
    time.sleep(SMTP_OUTAGE / 5)
    for manner in ("stall", "drop", "421 4.3.2 closing", "451 4.3.0 try later"):
        world.set_manner(manner)
        world.smtp.wanted = True
        time.sleep(SMTP_OUTAGE / 5)
    world.set_manner("slow")


def drip_smtp(world: World) -> None:
    """SMTP answers byte by byte for 10 s, each byte within the time-out."""
    world.set_manner("drip")
    time.sleep(OUTAGE)
    world.set_manner("")


def die_before_commit(world: World) -> None:
    """The provider accepts a mail, and its worker dies before the commit, twice."""
    for _ in range(DEATHS):
        world.wait_for_workers()
        before = len(world.runs("email"))
        world.set_manner("hold")
        wait_until(lambda before=before: len(world.runs("email")) > before)
        time.sleep(0.3)  # the other processes come to this point too
        for worker in world.workers:
            worker.kill()
        world.set_manner("")


def freeze_worker(world: World) -> None:
    """A worker is stopped (SIGSTOP) until its leases have ended, and continues."""
    worker = world.workers[0]
    worker.signal(signal.SIGSTOP)
    time.sleep(OUTAGE)
    worker.signal(signal.SIGCONT)


def stop_workers(world: World) -> float:
    """Both workers are stopped (SIGTERM), and start again 10 s later."""
    for worker in world.workers:
        worker.wanted = False
        worker.process.send_signal(signal.SIGTERM)
    for worker in world.workers:
        worker.process.wait()
    ended = time.time()
    time.sleep(OUTAGE)
    for worker in world.workers:
        worker.wanted = True
    return ended


def stop_web(world: World) -> None:
    """Web is down for 10 s."""
    world.web.stop()
    time.sleep(OUTAGE)
    world.web.wanted = True


def stop_beats(world: World) -> None:
    """Both Beats are down for 12 s."""
    for beat in world.beats:
        beat.stop()
    time.sleep(BEAT_OUTAGE)
    for beat in world.beats:
        beat.wanted = True


def kill_beat(world: World) -> None:
    """The leading Beat gets SIGKILL just as Redis loses everything (FLUSHALL)."""
    world.leading_beat().kill()
    world.redis.client.flushall()


def kill_beat_before_it_saves(world: World) -> None:
    """A daily tick is published, and the leading Beat gets SIGKILL before it saves that."""
    world.ledger.client.set("kill beat", "yes")
    world.make_daily_tick_due()
    wait_until(world.is_daily_tick_saved)
    # Once by the Beat that died, once by the one that could not know.
    wait_until(lambda: len(world.runs("daily")) >= 2)
    time.sleep(3 * BEAT_LOOP)
    assert len(world.runs("daily")) == 2


def fill_disk(world: World) -> None:
    """The disk under SQLite is full for 3 s."""
    world.ledger.client.set("disk full", "yes")
    time.sleep(3)
    world.ledger.client.delete("disk full")
    assert "disk is full" in world.story(lines=1000)


@contextmanager
def behind_a_proxy(world: World) -> Iterator[None]:
    """Let the workers reach Redis through a proxy only."""
    with Blackhole("127.0.0.1", world.redis.server.port) as world.network:
        world.restart_workers(CELERY_BROKER_URL=f"redis://127.0.0.1:{world.network.port}/0")
        yield
        world.restart_workers(CELERY_BROKER_URL=world.redis.url)


def lose_connections(world: World) -> None:
    """The workers' connections to Redis become half-open."""
    world.network.swallow()


@contextmanager
def one_clock_ahead(world: World) -> Iterator[None]:
    """Let the clock of one worker be ahead."""
    worker = world.workers[0]
    worker.environment["CLOCK_AHEAD"] = str(CLOCK_AHEAD)
    worker.kill()
    yield
    del worker.environment["CLOCK_AHEAD"]
    worker.kill()


def let_clocks_differ(world: World) -> None:
    """The clock of one of the two workers is 20 minutes ahead."""
    clocks = world.ledger.client.hgetall("clocks")
    first, second = (float(clocks[str(worker.process.pid)]) for worker in world.workers)
    assert first - second > (CLOCK_AHEAD - 1) * 60


@contextmanager
def behind_a_backlog(world: World) -> Iterator[None]:
    """Put plain messages in front of the load."""
    publish = f"from chaos_tasks import plain; [plain.delay('backlog') for _ in range({BACKLOG})]"
    for worker in world.workers:
        worker.signal(signal.SIGSTOP)
    subprocess.run(
        [sys.executable, "manage.py", "shell", "--no-imports", "-c", publish],
        cwd=world.project,
        env=world.environment,
        check=True,
    )
    for worker in world.workers:
        worker.signal(signal.SIGCONT)
    yield


def overtake_a_backlog(world: World) -> None:
    """3,000 plain messages wait in front; each mail is sent before the last of them has run."""
    wait_until(lambda: world.ledger.client.llen("email") >= world.load)
    assert world.runs("plain").count("backlog") < BACKLOG
