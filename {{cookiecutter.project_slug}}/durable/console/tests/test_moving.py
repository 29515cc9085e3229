"""A waiting task moves to another queue."""

import pytest

from durable.broker.queues import peek
from durable.console.models import AuditEntry
from durable.tests import probes

pytestmark = pytest.mark.django_db
assert probes  # the tasks of the rows


def move(client, run, queue):
    return client.post(f"/console/tasks/{run.pk}/move/", {"queue": queue}, follow=True)


@pytest.mark.django_db(transaction=True)
def test_a_waiting_task_moves_once_and_gets_a_message_there(operator, task, queue):
    run = task("queued")
    assert ">Move</button>" in operator.get(f"/console/tasks/{run.pk}/").text

    first, second = move(operator, run, queue), move(operator, run, queue)

    assert f"tests.durable waits in {queue}." in first.text
    assert "was not moved" in second.text
    run.refresh_from_db()
    assert run.queue == queue
    (message,) = peek(queue, 10)
    assert str(run.pk).encode() in message
    assert [(e.count, e.detail) for e in AuditEntry.objects.order_by("pk")] == [
        (1, f"from default to {queue}"),
        (0, f"from {queue} to {queue}"),
    ]


@pytest.mark.django_db(transaction=True)
def test_a_scheduled_task_gets_its_message_when_it_is_due(operator, task, queue):
    run = task("scheduled")

    move(operator, run, queue)

    run.refresh_from_db()
    assert (run.queue, peek(queue, 10)) == (queue, [])


@pytest.mark.parametrize("state", ["running", "done", "failed", "canceled"])
def test_only_a_waiting_task_is_moved(operator, task, queue, state):
    run = task(state)

    assert "was not moved" in move(operator, run, queue).text
    assert ">Move</button>" not in operator.get(f"/console/tasks/{run.pk}/").text


def test_an_unknown_queue_or_task_is_refused(operator, task, queue):
    run = task()
    assert move(operator, run, "nowhere").status_code == 400
    run.delete()
    run.pk = "5f322169-4680-4242-b603-d8a592e58a19"
    assert move(operator, run, queue).status_code == 404
    assert not AuditEntry.objects.exists()


def test_moving_needs_its_own_permission(login, task, queue):
    run = task()
    client = login("view_console", "run_work", "pause_queues", "replay_work", "cancel_work")

    assert move(client, run, queue).status_code == 403
    assert ">Move</button>" not in client.get(f"/console/tasks/{run.pk}/").text
