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
def signs(monkeypatch, tmp_path):
    monkeypatch.setenv("HEALTH_DIRECTORY", str(tmp_path / "signs"))
    monkeypatch.setattr(heartbeat, "process", heartbeat.Process())
    return tmp_path / "signs"


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


def age(sign, seconds):
    os.utime(sign, (time.time() - seconds,) * 2)


def test_a_process_that_gives_signs_is_well(check):
    heartbeat.begin("worker", "emails@here")
    heartbeat.give_sign()

    assert check("worker") == check("worker", "--name=emails@here") == (0, "worker: well\n")


def test_a_process_that_never_started_is_named_with_where_it_was_looked_for(check, signs):
    code, said = check("beat")

    assert (code, said.count("\n")) == (1, 1)
    assert str(signs) in said
    assert "start it" in said


def test_one_silent_worker_among_several_is_named(check, signs):
    for name in ("emails@here", "reports@here"):
        heartbeat.begin("worker", name)
        heartbeat.give_sign()
    age(signs / "worker-emails@here", 40)

    code, said = check("worker")

    assert (code, said.count("\n")) == (1, 1)
    assert "worker-emails@here: no sign of life for 40 s" in said
    assert check("worker", "--name=reports@here")[0] == 0


@pytest.mark.usefixtures("handlers")
def test_a_worker_that_ended_in_good_order_is_missed_by_nobody(check, signs):
    for name in ("emails@here", "reports@here"):
        heartbeat.begin("worker", name)
        heartbeat.give_sign()

    heartbeat.end(signs / "worker-emails@here")

    assert check("worker") == (0, "worker: well\n")


ENDED_AS_IT_BEGAN_TO_END = """
import signal
from durable import heartbeat

def interrupted(*arguments):
    signal.signal = install
    raise SystemExit

install, signal.signal = signal.signal, interrupted
heartbeat.begin("beat", "here")
heartbeat.give_sign()
"""


def test_a_signal_just_before_the_sign_is_removed_does_not_keep_it(check):
    ended = subprocess.run(
        [sys.executable, "-c", ENDED_AS_IT_BEGAN_TO_END],
        cwd=MANAGE.parent,
        capture_output=True,
        text=True,
        check=True,
    )

    assert "SystemExit" in ended.stderr
    assert "none has given a sign" in check("beat")[1]


@pytest.mark.usefixtures("handlers")
def test_who_is_stopped_twice_leaves_no_sign(check, signs, monkeypatch):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    heartbeat.begin("beat", "here")
    heartbeat.give_sign()
    unlink = Path.unlink

    def interrupted(path):
        signal.raise_signal(signal.SIGINT)
        unlink(path)

    monkeypatch.setattr(Path, "unlink", interrupted)
    heartbeat.end(signs / "beat-here")

    assert "none has given a sign" in check("beat")[1]


@pytest.mark.parametrize("seconds", [16, -16])
def test_a_sign_is_old_whichever_way_the_clock_was_set(check, signs, seconds):
    heartbeat.begin("beat", "here")
    heartbeat.give_sign()

    age(signs / "beat-here", seconds)

    assert check("beat")[0] == 1


def test_a_worker_that_waits_for_its_broker_is_reported_and_alive(check):
    heartbeat.begin("worker", "emails@here")
    heartbeat.waits_for_broker()

    code, said = check("worker")

    assert (code, "waits for its broker: look at Redis" in said) == (1, True)
    assert check("worker", "--alive")[0] == 0


def test_a_child_gives_no_sign_for_its_parent(signs):
    heartbeat.begin("worker", "emails@here")
    heartbeat.process.pid += 1

    heartbeat.give_sign()

    assert not signs.exists()


def test_a_link_in_the_place_of_a_sign_leads_nowhere(signs, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("kept")
    heartbeat.begin("worker", "emails@here")
    signs.mkdir()
    (signs / "worker-emails@here").symlink_to(precious)

    heartbeat.give_sign()

    assert precious.read_text() == "kept"


def test_a_folder_that_cannot_be_written_to_stops_no_process(check, signs):
    signs.touch()
    heartbeat.begin("worker", "emails@here")

    heartbeat.give_sign()

    assert check("worker")[0] == 1


@pytest.mark.parametrize("place", ["", "\0"], ids=["a file", "a name without a file"])
def test_systemd_is_told_as_often_as_the_file(monkeypatch, tmp_path, place):
    address = place + str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", address.replace("\0", "@"))
        heartbeat.begin("worker", "emails@here")

        heartbeat.waits_for_broker()

        assert systemd.recv(100) == b"READY=1\nWATCHDOG=1\nSTATUS=waits for its broker"


@pytest.mark.django_db(transaction=True)
def test_each_tick_of_beat_is_a_sign(check):
    scheduler = DeclaredScheduler(app=current_app._get_current_object(), lazy=True)
    scheduler.setup_schedule()
    heartbeat.begin("beat", "here")

    scheduler.tick()

    assert check("beat") == (0, "beat: well\n")


def test_the_command_takes_a_fraction_of_a_second_and_loads_no_django(signs):
    took = []
    for _ in range(3):
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-X", "importtime", MANAGE, "healthcheck", "worker"],
            capture_output=True,
            check=False,
            text=True,
        )
        took.append(time.monotonic() - started)

    assert done.returncode == 1
    assert done.stdout.startswith("worker: none has given a sign of life")
    assert "durable.health.cli" in done.stderr
    assert not {"django", "celery", "redis"} & {
        line.split()[-1] for line in done.stderr.splitlines()
    }
    assert min(took) < 0.3
