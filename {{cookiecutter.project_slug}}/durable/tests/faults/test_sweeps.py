"""Lost messages are published again, whatever waits in the queues and whatever a worker's clock says."""

import subprocess
import sys

import pytest
from celery import current_app
from django.core.cache import cache
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from durable.beat.tests.helpers import Beat, make_due
from durable.broker.queues import queue_lengths
from durable.mail.api import send_email
from durable.mail.models import Email
from durable.mail.tasks import deliver_email
from durable.tasks.enqueue import queue_for
from durable.tasks.tasks import HEARTBEAT_KEY
from durable.testing.workers import TIMEOUT, wait_until

pytestmark = pytest.mark.django_db(transaction=True)

BACKLOG = 5_000  # messages
AHEAD = """
import sys
from datetime import timedelta
import time_machine
time_machine.travel(timedelta(minutes=20)).start()
from celery.__main__ import main
sys.argv = ["celery", "-A", "config", "worker", "--concurrency=1", "--without-mingle"]
main()
"""


@pytest.fixture
def no_worker(worker):
    """Stop the worker of the tests, and empty the queues before it starts again."""
    worker.kill()
    current_app.control.purge()
    yield
    current_app.control.purge()


@pytest.fixture
def beat():
    beat = Beat()
    beat.run_due()
    beat.sweeps.wait()
    yield beat
    beat.close()


@pytest.fixture
def lost(no_worker):
    """Return a mail whose message was lost."""
    email = send_email("test_email", "ann@example.com", {"queued_by": "a test"})
    current_app.control.purge()
    return email


def sweep(beat):
    make_due("requeue stuck emails")
    beat.run_due()
    beat.sweeps.wait()


def test_a_backlog_of_plain_messages_does_not_delay_a_sweep(beat, lost):
    with current_app.producer_or_acquire() as producer, producer.batch():
        for _ in range(BACKLOG):
            queue = current_app.conf.task_default_queue
            current_app.send_task("tests.nothing", queue=queue, producer=producer)
    before = queue_lengths()[queue_for(deliver_email.name)]

    sweep(beat)

    assert queue_lengths()[queue_for(deliver_email.name)] == before + 1


@pytest.fixture
def worker_ahead(no_worker):
    """Run a worker whose clock is 20 minutes ahead."""
    with subprocess.Popen([sys.executable, "-c", AHEAD], stderr=subprocess.DEVNULL) as process:
        yield
        process.terminate()


def test_a_worker_whose_clock_is_ahead_stops_neither_sweeps_nor_the_heartbeat(
    worker_ahead, beat, lost, mailbox
):
    cache.delete(HEARTBEAT_KEY)
    make_due("heartbeat")
    sweep(beat)

    wait_until(lambda: cache.get(HEARTBEAT_KEY), 3 * TIMEOUT)
    assert cache.get(HEARTBEAT_KEY) - timezone.now().timestamp() > 19 * 60
    assert PeriodicTask.objects.get(name="requeue stuck emails").total_run_count
    wait_until(lambda: Email.objects.get(pk=lost.pk).status == Email.Status.SENT)
