"""Workers take nothing from a paused queue, and publishing goes on."""

import time

import pytest
from celery import current_app
from django.db import DatabaseError

from durable.health import queues
from durable.mail.tasks import deliver_email, requeue_stuck_emails
from durable.tasks import pausing
from durable.tasks.enqueue import queue_for
from durable.tasks.models import PausedQueue, TaskRun
from durable.tasks.tasks import requeue_stuck_runs, sync_paused_queues
from durable.testing.runlog import ran
from durable.testing.workers import wait_until
from durable.tests import probes

pytestmark = pytest.mark.django_db(transaction=True)


def consumed():
    """Return the queues that the worker consumes."""
    return queues.consumers_of(queues.ask_workers())


def messages():
    """Return the number of messages in the queue that the probes go to."""
    with current_app.connection_for_read() as broker:
        return broker.default_channel.queue_declare("default").message_count


@pytest.fixture
def paused(operator):
    wait_until(lambda: "default" in consumed())
    current_app.control.purge()  # what other tests have published
    operator.post("/console/queues/default/pause/")
    yield operator
    PausedQueue.objects.all().delete()
    pausing.notify_workers()
    wait_until(lambda: "default" in consumed())


def test_a_paused_queue_keeps_its_work_until_it_is_resumed(worker, paused):
    wait_until(lambda: "default" not in consumed())
    probes.durable.delay("durable")
    probes.echo.delay("plain")
    time.sleep(2)  # seconds; a worker polls at least once a second
    assert (ran(), messages()) == ([], 2)

    paused.post("/console/queues/default/resume/")

    wait_until(lambda: sorted(ran()) == ["durable", "plain"])
    assert messages() == 0


if queue_for(probes.report.name) != "default":

    def test_other_queues_go_on(worker, paused):
        wait_until(lambda: "default" not in consumed())

        probes.report.delay()

        wait_until(lambda: ran() == ["report"])


def test_work_published_at_once_after_the_pause_waits_or_runs_and_is_not_lost(worker, paused):
    for number in range(5):
        probes.durable.delay(str(number))
    wait_until(lambda: "default" not in consumed())
    before = ran()

    paused.post("/console/queues/default/resume/")

    wait_until(lambda: TaskRun.objects.filter(status="done").count() == 5)
    assert sorted(ran()) == ["0", "1", "2", "3", "4"]
    assert set(before) <= set(ran())


def test_a_restart_of_worker_and_redis_keeps_the_pause(worker, paused, redis_server):
    wait_until(lambda: "default" not in consumed())
    redis_server.flush()
    worker.replace()
    worker.wait()
    probes.durable.delay("durable")
    wait_until(queues.ask_workers)

    assert "default" not in consumed()
    assert "queue_paused" in worker.output()
    assert ran() == []

    paused.post("/console/queues/default/resume/")

    wait_until(lambda: ran() == ["durable"])


def test_a_worker_that_missed_the_pause_follows_the_sweep(worker, operator):
    PausedQueue.objects.create(queue="default", paused_by="Ann")  # and no worker is notified
    try:
        assert sync_paused_queues() == 1
        wait_until(lambda: "default" not in consumed())
    finally:
        PausedQueue.objects.all().delete()
    assert sync_paused_queues() == 0
    wait_until(lambda: "default" in consumed())


@pytest.mark.django_db
def test_sweeps_publish_nothing_for_work_in_a_paused_queue(task, mail, redis_server):
    for queue in {"default", queue_for(deliver_email.name)}:
        PausedQueue.objects.create(queue=queue, paused_by="Ann")
    task("queued"), mail("queued")

    assert (requeue_stuck_runs(), requeue_stuck_emails()) == (0, 0)

    PausedQueue.objects.all().delete()
    redis_server.flush()

    assert (requeue_stuck_runs(), requeue_stuck_emails()) == (1, 1)


def test_a_queue_is_paused_once(operator, redis_server):
    first = operator.post("/console/queues/default/pause/", follow=True)
    second = operator.post("/console/queues/default/pause/", follow=True)
    resumed = operator.post("/console/queues/default/resume/", follow=True)

    assert "default is paused." in first.text
    assert "default was paused already." in second.text
    assert "default is resumed." in resumed.text
    assert not PausedQueue.objects.exists()


class Consumer:
    """A worker's consumer, as far as pauses need it."""

    app = current_app

    def cancel_task_queue(self, queue):
        raise AssertionError(queue)


def test_a_worker_whose_database_is_away_goes_on(monkeypatch):
    class Away:
        def values_list(self, *_, **__):
            raise DatabaseError("away")

    monkeypatch.setattr(PausedQueue, "objects", Away())

    pausing.sync(Consumer())
