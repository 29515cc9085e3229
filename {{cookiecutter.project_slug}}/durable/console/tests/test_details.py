"""The pages of one task and of one mail."""

import pytest
from celery import chain
from django.contrib.contenttypes.models import ContentType

from durable.mail.api import send_email
from durable.tasks.models import TaskRun
from durable.testing.workers import wait_until
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
        "1 worker crash in a row",
        'href="/console/tasks/?correlation_id=abc/1"',
        'href="/console/emails/?correlation_id=abc/1"',
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

    page = page_of(viewer, "emails", email)

    assert "<strong>queued</strong>" in page
    assert "<strong>canceled</strong>" in page
    assert "Preview in the admin" not in page  # the viewer may not see mails there
    assert f"/admin/mail/email/{email.pk}/" in page_of(admin_client, "emails", email)


def test_a_task_shows_what_its_request_caused(viewer, task, mail):
    run = task("done", correlation_id="abc")
    caused, sent = task("failed", correlation_id="abc"), mail("sent", correlation_id="abc")
    other = task(correlation_id="other")

    page = page_of(viewer, "tasks", run)

    same = page[page.index("From the same request") :]
    assert f'<a href="/console/tasks/{caused.pk}/">' in same
    assert f'<a href="/console/emails/{sent.pk}/">' in same
    assert str(other.pk) not in page
    assert f'<a href="/console/tasks/{run.pk}/">' in page_of(viewer, "emails", sent)
    assert "From the same request" not in page_of(viewer, "tasks", other)


def test_rows_of_the_service_are_shown_beside_the_task(viewer, task, settings):
    run = task(correlation_id="abc")
    settings.CORRELATED_MODELS = ("tasks.FailedTask",)
    failed = task("failed", correlation_id="abc")

    assert f'<a href="/admin/tasks/failedtask/{failed.pk}/change/">' in page_of(
        viewer, "tasks", run
    )


@pytest.mark.django_db(transaction=True)
def test_the_tasks_of_a_chain_link_to_each_other(worker, viewer):
    chain(probes.durable.s("a"), probes.durable_link.s("b")).apply_async()
    wait_until(lambda: TaskRun.objects.filter(status="done").count() == 2)
    first, second = (
        TaskRun.objects.get(name=name) for name in ("tests.durable", "tests.durable_link")
    )

    assert f'then <a href="/console/tasks/{second.pk}/">' in page_of(viewer, "tasks", first)
    assert f'Follows</dt> <dd> <a href="/console/tasks/{first.pk}/">' in page_of(
        viewer, "tasks", second
    )


def test_a_mail_links_to_what_it_is_about(viewer):
    email = send_email("test_email", "ann@example.com", {"queued_by": "Bob"}, related=viewer.user)

    page = page_of(viewer, "emails", email)

    assert f"/{viewer.user.pk}/change/" in page
    assert str(viewer.user) in page


def test_what_a_mail_is_about_may_be_gone(viewer, mail):
    kind = ContentType.objects.get_for_model(TaskRun)

    for related_id in ("no id", "5f322169-4680-4242-b603-d8a592e58a19"):
        email = mail(related_type=kind, related_id=related_id)
        assert viewer.get(f"/console/emails/{email.pk}/").status_code == 200
