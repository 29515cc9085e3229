import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from celery import current_app

from apps.tasks import healthcheck, liveness
from apps.tasks.scheduler import DeclaredScheduler

MANAGE = Path(__file__).parents[3] / "manage.py"


@pytest.fixture(autouse=True)
def signs(monkeypatch, tmp_path):
    monkeypatch.setenv("HEALTH_DIRECTORY", str(tmp_path / "signs"))
    monkeypatch.setattr(liveness, "process", liveness.Process())
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
        return healthcheck.main([*arguments]), capsys.readouterr().out

    return run


def age(sign, seconds):
    os.utime(sign, (time.time() - seconds,) * 2)


def test_a_process_that_gives_signs_is_well(check):
    liveness.begin("worker", "emails@here")
    liveness.give_sign()

    assert check("worker") == check("worker", "--name=emails@here") == (0, "worker: well\n")


def test_a_process_that_never_started_is_named_with_where_it_was_looked_for(check, signs):
    code, said = check("beat")

    assert (code, said.count("\n")) == (1, 1)
    assert str(signs) in said
    assert "start it" in said


def test_one_silent_worker_among_several_is_named(check, signs):
    for name in ("emails@here", "reports@here"):
        liveness.begin("worker", name)
        liveness.give_sign()
    age(signs / "worker-emails@here", 40)

    code, said = check("worker")

    assert (code, said.count("\n")) == (1, 1)
    assert "worker-emails@here: no sign of life for 40 s" in said
    assert check("worker", "--name=reports@here")[0] == 0


@pytest.mark.usefixtures("handlers")
def test_a_worker_that_ended_in_good_order_is_missed_by_nobody(check, signs):
    for name in ("emails@here", "reports@here"):
        liveness.begin("worker", name)
        liveness.give_sign()

    liveness.end(signs / "worker-emails@here")

    assert check("worker") == (0, "worker: well\n")


ENDED_AS_IT_BEGAN_TO_END = """
import signal
from apps.tasks import liveness

def interrupted(*arguments):
    signal.signal = install
    raise SystemExit

install, signal.signal = signal.signal, interrupted
liveness.begin("beat", "here")
liveness.give_sign()
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
    liveness.begin("beat", "here")
    liveness.give_sign()
    unlink = Path.unlink

    def interrupted(path):
        signal.raise_signal(signal.SIGINT)
        unlink(path)

    monkeypatch.setattr(Path, "unlink", interrupted)
    liveness.end(signs / "beat-here")

    assert "none has given a sign" in check("beat")[1]


@pytest.mark.parametrize("seconds", [16, -16])
def test_a_sign_is_old_whichever_way_the_clock_was_set(check, signs, seconds):
    liveness.begin("beat", "here")
    liveness.give_sign()

    age(signs / "beat-here", seconds)

    assert check("beat")[0] == 1


def test_a_worker_that_waits_for_its_broker_is_reported_and_alive(check):
    liveness.begin("worker", "emails@here")
    liveness.waits_for_broker()

    code, said = check("worker")

    assert (code, "waits for its broker: look at Redis" in said) == (1, True)
    assert check("worker", "--alive")[0] == 0


def test_a_child_gives_no_sign_for_its_parent(signs):
    liveness.begin("worker", "emails@here")
    liveness.process.pid += 1

    liveness.give_sign()

    assert not signs.exists()


def test_a_link_in_the_place_of_a_sign_leads_nowhere(signs, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("kept")
    liveness.begin("worker", "emails@here")
    signs.mkdir()
    (signs / "worker-emails@here").symlink_to(precious)

    liveness.give_sign()

    assert precious.read_text() == "kept"


def test_a_folder_that_cannot_be_written_to_stops_no_process(check, signs):
    signs.touch()
    liveness.begin("worker", "emails@here")

    liveness.give_sign()

    assert check("worker")[0] == 1


@pytest.mark.parametrize("place", ["", "\0"], ids=["a file", "a name without a file"])
def test_systemd_is_told_as_often_as_the_file(monkeypatch, tmp_path, place):
    address = place + str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        monkeypatch.setenv("NOTIFY_SOCKET", address.replace("\0", "@"))
        liveness.begin("worker", "emails@here")

        liveness.waits_for_broker()

        assert systemd.recv(100) == b"READY=1\nWATCHDOG=1\nSTATUS=waits for its broker"


@pytest.mark.django_db(transaction=True)
def test_each_tick_of_beat_is_a_sign(check):
    scheduler = DeclaredScheduler(app=current_app._get_current_object(), lazy=True)
    scheduler.setup_schedule()
    liveness.begin("beat", "here")

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
    assert "apps.tasks.healthcheck" in done.stderr
    assert not {"django", "celery", "redis"} & {
        line.split()[-1] for line in done.stderr.splitlines()
    }
    assert min(took) < 0.3
