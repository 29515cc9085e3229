"""SIGTERM to a worker: containers and systemd send it at every release.

The message of a killed worker is delivered again after half an hour; a requeued one at once.
"""

import pytest

from durable.broker.queues import queue_lengths
from durable.testing.workers import wait_until
from durable.tests import probes

HALF_AN_HOUR = 1800  # seconds

pytestmark = pytest.mark.django_db(transaction=True)


def test_short_tasks_finish_and_the_next_worker_runs_the_rest(worker):
    work = {"long": HALF_AN_HOUR, "short": 0.2, **{f"rest {number}": 0 for number in range(20)}}
    for name, seconds in work.items():
        probes.work.delay(name, seconds)
    wait_until(lambda: {"long begins", "short begins"} <= set(probes.ran()))

    worker.replace()

    ends = sorted(f"{name} ends" for name in work)
    wait_until(lambda: sorted(line for line in probes.ran() if line.endswith("ends")) == ends)
    assert "long begins again" in probes.ran()
    assert "short begins again" not in probes.ran()


def test_the_next_worker_runs_a_task_with_a_countdown_of_an_idle_one(worker):
    probes.work.apply_async(["later"], countdown=1)
    wait_until(lambda: not any(queue_lengths().values()))

    worker.replace()

    wait_until(lambda: probes.ran() == ["later begins again", "later ends"])
