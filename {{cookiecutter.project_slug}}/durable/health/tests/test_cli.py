import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from celery import current_app

from durable import heartbeat
from durable.beat.scheduler import DeclaredScheduler
from durable.health import cli

MANAGE = Path(__file__).parents[3] / "manage.py"


@pytest.fixture(autouse=True)
def files(monkeypatch, tmp_path):
    monkeypatch.setenv("HEALTH_DIRECTORY", str(tmp_path / "heartbeats"))
    monkeypatch.setattr(heartbeat, "process", heartbeat.Process())
    return tmp_path / "heartbeats"


@pytest.fixture
def handlers():
    stop_signals = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in stop_signals}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def check(capsys):
    def run(*arguments):
        return cli.main([*arguments]), capsys.readouterr().out

    return run


def age(file, seconds):
    os.utime(file, (time.time() - seconds,) * 2)


def test_a_process_with_a_heartbeat_passes(check):
    heartbeat.start("worker", "emails@here")
    heartbeat.beat()

    assert check("worker") == check("worker", "--name=emails@here") == (0, "worker: running\n")


def test_a_process_that_never_started_fails_with_the_folder_that_was_read(check, files):
    code, output = check("beat")

    assert (code, output.count("\n")) == (1, 1)
    assert str(files) in output
    assert "start the process" in output


def test_a_worker_without_heartbeat_is_named_among_several(check, files):
    for name in ("emails@here", "reports@here"):
        heartbeat.start("worker", name)
        heartbeat.beat()
    age(files / "worker-emails@here", 40)

    code, output = check("worker")

    assert (code, output.count("\n")) == (1, 1)
    assert "worker-emails@here: last heartbeat 40 s ago" in output
    assert check("worker", "--name=reports@here")[0] == 0


@pytest.mark.usefixtures("handlers")
def test_a_worker_that_exited_cleanly_does_not_fail_the_check(check, files):
    for name in ("emails@here", "reports@here"):
        heartbeat.start("worker", name)
        heartbeat.beat()

    heartbeat.remove(files / "worker-emails@here")

    assert check("worker") == (0, "worker: running\n")


INTERRUPTED_EXIT = """
import signal
from durable import heartbeat

def interrupted(*arguments):
    signal.signal = install
    raise SystemExit

install, signal.signal = signal.signal, interrupted
heartbeat.start("beat", "here")
heartbeat.beat()
"""


def test_a_signal_just_before_the_file_is_removed_does_not_keep_it(check):
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_EXIT],
        cwd=MANAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "SystemExit" in ended.stderr
    assert "no heartbeat file" in check("beat")[1]


@pytest.mark.usefixtures("handlers")
def test_a_process_that_is_stopped_twice_leaves_no_file(check, files, monkeypatch):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    heartbeat.start("beat", "here")
    heartbeat.beat()
    unlink = Path.unlink

    def interrupted(path):
        signal.raise_signal(signal.SIGINT)
        unlink(path)

    monkeypatch.setattr(Path, "unlink", interrupted)
    heartbeat.remove(files / "beat-here")

    assert "no heartbeat file" in check("beat")[1]


@pytest.mark.parametrize("seconds", [16, -16])
def test_a_heartbeat_is_old_whichever_way_the_clock_was_set(check, files, seconds):
    heartbeat.start("beat", "here")
    heartbeat.beat()

    age(files / "beat-here", seconds)

    assert check("beat")[0] == 1


def test_a_worker_that_waits_for_the_broker_fails_but_is_alive(check):
    heartbeat.start("worker", "emails@here")
    heartbeat.beat(heartbeat.WAITING)

    code, output = check("worker")

    assert (code, "waiting for the broker: check Redis" in output) == (1, True)
    assert check("worker", "--alive")[0] == 0


def test_a_beat_that_waits_for_its_database_or_sends_nothing_fails(check):
    heartbeat.start("beat", "here")
    heartbeat.beat(heartbeat.WAITING_FOR_DATABASE)
    assert "waiting for the database: check the database" in check("beat")[1]

    heartbeat.beat("has not sent the heartbeat task\nfor 75 s")

    assert check("beat") == (
        1,
        "beat-here: has not sent the heartbeat task for 75 s: read its log\n",
    )
    assert check("beat", "--alive")[0] == 0


def test_a_child_does_not_beat_for_its_parent(files):
    heartbeat.start("worker", "emails@here")
    heartbeat.process.pid += 1

    heartbeat.beat()

    assert not files.exists()


def test_a_link_in_place_of_a_heartbeat_file_is_not_followed(files, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("kept")
    heartbeat.start("worker", "emails@here")
    files.mkdir()
    (files / "worker-emails@here").symlink_to(precious)

    heartbeat.beat()

    assert precious.read_text() == "kept"


def test_a_folder_that_cannot_be_written_stops_no_process(check, files):
    files.touch()
    heartbeat.start("worker", "emails@here")

    heartbeat.beat()

    assert check("worker")[0] == 1


@pytest.mark.parametrize("place", ["", "\0"], ids=["a file", "a name without a file"])
def test_each_heartbeat_notifies_systemd(monkeypatch, tmp_path, place):
    address = place + str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", address.replace("\0", "@"))
        heartbeat.start("worker", "emails@here")

        heartbeat.beat(heartbeat.WAITING)

        assert systemd.recv(100) == b"READY=1\nWATCHDOG=1\nSTATUS=waiting for the broker"


@pytest.mark.django_db(transaction=True)
def test_each_tick_of_beat_is_a_heartbeat(check):
    scheduler = DeclaredScheduler(app=current_app._get_current_object(), lazy=True)
    scheduler.setup_schedule()
    heartbeat.start("beat", "here")

    scheduler.tick()

    assert check("beat") == (0, "beat: running\n")


def test_the_command_starts_fast_since_it_loads_no_package(files):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", MANAGE, "healthcheck", "worker"],
        capture_output=True,
        check=False,
        text=True,
    )

    assert done.returncode == 1
    assert done.stdout.startswith("worker: no heartbeat file")
    assert "durable.health.cli" in done.stderr
    assert not {"django", "celery", "redis", "structlog"} & {
        line.split()[-1] for line in done.stderr.splitlines()
    }
