"""The pages of one task and of one mail."""

import pytest
from celery import chain

from durable.mail.api import send_email
from durable.tasks.models import TaskRun
from durable.tests import probes

pytestmark = pytest.mark.django_db


def page_of(client, kind, row):
    return " ".join(client.get(f"/console/{kind}/{row.pk}/").text.split())


def test_a_task_shows_everything_but_secrets(viewer, task):
    run = task(
        "failed",
        kwargs={"api_key": "sesame", "order": 7},
        traceback="Traceback: line 1",
        last_error="ValueError: no",
        worker="celery@one",
        attempts=3,
        crashes=1,
        correlation_id="abc/1",
    )

    page = page_of(viewer, "tasks", run)

    assert "sesame" not in page
    for text in (
        "&quot;order&quot;: 7",
        "Traceback: line 1",
        "ValueError: no",
        "celery@one",
        "1 crashes of workers",
        'href="/console/tasks/?correlation_id=abc/1"',
        'href="/console/mails/?correlation_id=abc/1"',
    ):
        assert text in page


def test_a_task_links_to_its_replay_and_back(viewer, operator, task):
    failed = task("failed")
    replay = task(replay_of=failed)

    assert f'Replayed as</dt> <dd> <a href="/console/tasks/{replay.pk}/"' in page_of(
        viewer, "tasks", failed
    )
    assert ">Replay</button>" not in page_of(operator, "tasks", failed)
    assert f'Replay of</dt> <dd> <a href="/console/tasks/{failed.pk}/"' in page_of(
        viewer, "tasks", replay
    )


def test_a_chain_shows_what_follows(viewer, redis_server):
    chain(probes.durable.s("a"), probes.durable_link.s("b"), probes.idle.si()).apply_async()
    run = TaskRun.objects.get()

    page = page_of(viewer, "tasks", run)

    first, second = (
        page.index("then <code>tests.durable_link</code>"),
        page.index("then <code>tests.idle</code>"),
    )
    assert first < second


@pytest.mark.parametrize("options", [{"chain": [1]}, {"link": "x"}, {"link_error": {"task": None}}])
def test_links_of_another_form_do_not_break_the_page(viewer, task, options):
    assert viewer.get(f"/console/tasks/{task('failed', options=options).pk}/").status_code == 200


def test_a_mail_shows_its_events(viewer, admin_client):
    email = send_email("test_email", "ann@example.com", {"queued_by": "Bob"})
    email.cancel()

    page = page_of(viewer, "mails", email)

    assert "<strong>queued</strong>" in page
    assert "<strong>canceled</strong>" in page
    assert "Preview in the admin" not in page  # the viewer may not see mails there
    assert f"/admin/mail/email/{email.pk}/" in page_of(admin_client, "mails", email)
