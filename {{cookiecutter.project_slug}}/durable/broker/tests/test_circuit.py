import os
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier
from types import SimpleNamespace

import pytest
from celery.signals import beat_init, celeryd_init
from django.conf import settings
from kombu.exceptions import OperationalError

from durable.broker.circuit import Circuit, circuit
from durable.tasks.tasks import heartbeat
from durable.testing.workers import wait_until


@pytest.fixture
def long_reset(monkeypatch):
    monkeypatch.setattr(circuit, "reset_after", timedelta(minutes=1))


@pytest.mark.usefixtures("long_reset")
def test_a_refused_caller_learns_since_when_and_until_when(redis_server):
    redis_server.stop()
    assert heartbeat.publish_or_log() is False

    with pytest.raises(OperationalError, match=r"not answered since \d\d:\d\d:\d\d .* at \d\d:"):
        heartbeat.delay()


def test_publishing_works_again_at_the_next_trial_after_the_broker_returns(redis_server):
    redis_server.stop()
    assert heartbeat.publish_or_log() is False
    redis_server.restart()
    started = time.monotonic()

    wait_until(heartbeat.publish_or_log)

    assert time.monotonic() - started < settings.BROKER_CIRCUIT_RESET.total_seconds() + 5


def test_one_of_many_callers_tries_after_the_reset_time():
    circuit = Circuit(timedelta(seconds=0.1))
    circuit.open()
    time.sleep(0.1)
    all_started = Barrier(8)

    def publish(_):
        all_started.wait()
        try:
            with circuit.guard():
                time.sleep(0.02)
        except OperationalError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(publish, range(8))) == 1
    assert publish_all(circuit)


def publish_all(circuit):
    for _ in range(3):
        with circuit.guard():
            pass
    return True


def test_a_failed_trial_keeps_the_circuit_open():
    circuit = Circuit(timedelta(seconds=0.05))
    circuit.open()
    since = circuit.since
    time.sleep(0.05)

    with pytest.raises(ConnectionResetError), circuit.guard():
        raise ConnectionResetError("a bug of the caller")
    with pytest.raises(OperationalError, match="not answered"), circuit.guard():
        pass
    assert circuit.since == since


def test_the_outermost_of_nested_blocks_decides():
    circuit = Circuit(timedelta(seconds=0.05))
    circuit.open()
    time.sleep(0.05)

    with circuit.guard(), circuit.guard():
        assert circuit.since
    assert circuit.since is None


@pytest.mark.parametrize("signal", [celeryd_init, beat_init], ids=["worker", "beat"])
@pytest.mark.usefixtures("long_reset")
def test_workers_and_beat_disable_the_circuit_breaker(signal):
    conf = SimpleNamespace(broker_transport_options={}, worker_broker_timeout=5.0)
    signal.send(sender=None, conf=conf, instance=None, options={})
    circuit.open()

    assert publish_all(circuit)


def test_a_forked_child_does_not_wait_for_a_lock_of_its_parent():
    with circuit.lock, warnings.catch_warnings(action="ignore"):
        child = os.fork()
        if not child:
            os._exit(int(circuit.lock.locked()))
    _, status = os.waitpid(child, 0)

    assert status == 0
