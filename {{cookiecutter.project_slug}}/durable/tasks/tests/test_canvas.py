"""What may follow a task, and what is refused."""

import pytest
from celery import chain, chord, group

from durable.tasks.canvas import validate_links
from durable.tasks.models import TaskRun
from durable.tasks.tasks import heartbeat
from durable.tests.probes import durable, durable_link, report

pytestmark = pytest.mark.django_db


def test_a_plain_link_in_a_durable_chain_is_refused():
    with pytest.raises(ValueError, match=r"tests\.durable is durable, and reports\.probe"):
        chain(durable.s("a"), report.s()).apply_async()
    with pytest.raises(ValueError, match=r"tasks\.heartbeat is plain, and tests\.durable"):
        chain(heartbeat.si(), durable.si("a")).apply_async()
    with pytest.raises(ValueError, match="make all tasks of a chain durable"):
        durable.apply_async(("a",), link=report.s())
    assert not TaskRun.objects.exists()


def test_a_chord_of_durable_tasks_is_refused():
    with pytest.raises(ValueError, match="a chord cannot hold durable tasks"):
        chord([durable.s("a")])(durable_link.s("b"))
    with pytest.raises(ValueError, match="a chord cannot hold durable tasks"):
        chord([report.s()])(durable_link.s("b"))
    with pytest.raises(ValueError, match=r"celery\.chord"):
        durable.apply_async(("a",), link=chord([durable.si("b")], durable.si("c")))


def test_a_chord_of_plain_tasks_may_follow_a_plain_task():
    for link in (chord([report.si(1), report.si(2)], report.si(3)), report.si(tasks=[1, 2])):
        validate_links(report.name, durable=False, options={"link": link})

    with pytest.raises(ValueError, match=r"reports\.probe is plain, and tests\.durable"):
        chain(report.si(), group(report.si(1), durable.si("a")), report.si(3)).apply_async()


def test_a_link_is_stored_with_an_id_of_its_own():
    chain(durable.s("a"), group(durable_link.s("b"), durable_link.s("c"))).apply_async()
    durable.apply_async(("d",), link=durable_link.s("e"))

    chained, linked = TaskRun.objects.order_by("queued_at", "args")
    (parts,) = chained.options["chain"]
    assert all(part["options"]["task_id"] for part in parts["kwargs"]["tasks"])
    assert linked.options["link"]["options"]["task_id"]


def test_a_durable_task_does_not_expire():
    with pytest.raises(ValueError, match="a durable task has no `expires`"):
        durable.apply_async(("a",), expires=60)
