"""Actions: each row changes once, and each action leaves an entry in the audit log."""

import threading

import pytest
from django.db import connection
from django.utils import timezone

from durable.console.actions import perform
from durable.console.kinds import EMAILS, TASKS
from durable.console.models import AuditEntry
from durable.mail.models import Email
from durable.tasks.models import TaskRun
from durable.tests import probes

UNKNOWN = "5f322169-4680-4242-b603-d8a592e58a19"  # the key of no row

pytestmark = pytest.mark.django_db
assert probes  # the tasks of the rows


def post(client, path, **fields):
    return client.post(f"/console/{path}", fields, follow=True)


def status_of(row):
    return type(row).objects.get(pk=row.pk).status


def test_a_replay_runs_a_failed_task_again_once(operator, task):
    failed = task("failed")

    first = post(operator, f"tasks/{failed.pk}/replay/")
    second = post(operator, f"tasks/{failed.pk}/replay/")

    assert "1 of 1 replayed." in first.text
    assert "0 of 1 replayed." in second.text
    copy = TaskRun.objects.get(replay_of=failed)
    assert f"/console/tasks/{copy.pk}/" in second.text
    assert [entry.count for entry in AuditEntry.objects.order_by("pk")] == [1, 0]


def test_a_task_that_cannot_be_replayed_gives_the_reason(operator, task):
    failed = task("failed", name="gone.task")

    page = post(operator, f"tasks/{failed.pk}/replay/")

    assert "there is no task of this name any more" in page.text


@pytest.mark.parametrize("state", ["queued", "scheduled", "retrying"])
def test_a_waiting_task_is_canceled(operator, task, state):
    run = task(state)

    page = post(operator, f"tasks/{run.pk}/cancel/")

    assert "1 of 1 canceled." in page.text
    assert '<span class="tag canceled">canceled</span>' in page.text


@pytest.mark.parametrize("state", ["running", "done", "failed"])
def test_a_task_that_has_started_is_not_canceled(operator, task, state):
    run = task(state)

    assert "0 of 1 canceled." in post(operator, f"tasks/{run.pk}/cancel/").text
    assert status_of(run) == state


@pytest.mark.parametrize("state", ["scheduled", "retrying"])
def test_a_scheduled_task_runs_now(operator, task, state, redis_server):
    run = task(state)

    page = post(operator, f"tasks/{run.pk}/run/")

    assert "1 of 1 due now." in page.text
    assert "0 of 1 due now." in post(operator, f"tasks/{run.pk}/run/").text
    run.refresh_from_db()
    assert run.next_attempt_at <= timezone.now()


def test_only_failed_tasks_are_discarded(operator, task):
    failed, queued = task("failed"), task("queued")

    assert "1 of 1 discarded." in post(operator, f"tasks/{failed.pk}/discard/").text
    assert "0 of 1 discarded." in post(operator, f"tasks/{queued.pk}/discard/").text
    assert [*TaskRun.objects.all()] == [queued]


def test_an_email_is_resent_once(operator, mail):
    sent = mail("sent")

    assert "1 of 1 resent." in post(operator, f"emails/{sent.pk}/resend/").text
    assert "0 of 1 resent." in post(operator, f"emails/{sent.pk}/resend/").text
    assert Email.objects.get(resend_of=sent).status == "queued"


def test_a_waiting_mail_is_canceled_or_sent_now(operator, mail):
    waiting = mail(attempts=1, next_attempt_at="2999-01-01T00:00Z")

    assert "1 of 1 due now." in post(operator, f"emails/{waiting.pk}/run/").text
    assert "1 of 1 canceled." in post(operator, f"emails/{waiting.pk}/cancel/").text
    assert "0 of 1 canceled." in post(operator, f"emails/{waiting.pk}/cancel/").text
    assert status_of(waiting) == "canceled"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"tasks/{UNKNOWN}/replay/", 404),
        (f"emails/{UNKNOWN}/cancel/", 404),
        ("queues/nowhere/pause/", 404),
        ("tasks/bulk/", 400),
    ],
)
def test_what_does_not_exist_is_not_acted_on(operator, path, status):
    assert post(operator, path).status_code == status
    assert not AuditEntry.objects.exists()


def test_an_unknown_action_is_refused(operator, task):
    assert post(operator, f"tasks/{task().pk}/explode/").status_code == 400


def test_selected_rows_change_after_a_confirmation(operator, task):
    failed, other = [task("failed") for _ in range(3)], task("failed")
    pks = [str(run.pk) for run in failed]

    asked = post(operator, "tasks/bulk/", action="replay", pk=pks, query="state=failed")
    assert "Replay 3 tasks?" in asked.text
    assert not TaskRun.objects.filter(status="queued").exists()

    confirmed = " ".join(pks)
    page = post(
        operator,
        "tasks/bulk/",
        action="replay",
        confirmed=confirmed,
        query="state=failed",
        chosen="selected",
    )

    assert "3 of 3 replayed." in page.text
    assert page.redirect_chain[0][0] == "/console/tasks/?state=failed"
    assert not TaskRun.objects.filter(replay_of=other).exists()
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.kind, entry.target, entry.count, entry.detail, entry.user) == (
        "replay",
        "task",
        "3 tasks",
        3,
        "selected",
        operator.user,
    )


def test_all_that_match_a_filter_are_counted_first(operator, task):
    for _ in range(2):
        task("failed", name="tests.idle")
    task("failed")

    page = post(operator, "tasks/bulk/", action="discard", all="1", query="name=tests.idle")

    assert "Discard 2 tasks?" in page.text
    assert "filter: name=tests.idle" in page.text
    assert TaskRun.objects.count() == 3


def test_more_selected_rows_than_one_request_can_change_are_refused(operator, task, monkeypatch):
    monkeypatch.setattr("durable.console.work.MAX_BULK", 1)
    runs = [task("failed") for _ in range(2)]

    confirmed = " ".join(str(run.pk) for run in runs)
    page = post(operator, "tasks/bulk/", action="discard", confirmed=confirmed)

    assert page.status_code == 400
    assert TaskRun.objects.count() == 2


@pytest.mark.parametrize(
    "fields",
    [
        {"pk": "1"},
        {"confirmed": "x y"},
        {"all": "1", "query": "state=lost"},
        {"total": "2", "query": "state=lost"},
        {"total": "0"},
        {"total": "99999999999"},
        {"total": "x"},
    ],
    ids=["keys", "confirmed keys", "filter", "filter of a job", "none", "too many", "no number"],
)
def test_a_choice_that_makes_no_sense_is_refused(operator, fields):
    assert post(operator, "tasks/bulk/", action="replay", **fields).status_code == 400


def test_an_empty_choice_does_nothing(operator):
    page = post(operator, "emails/bulk/", action="cancel", query="state=queued")

    assert "Nothing changed: select at least one email." in page.text


def test_the_audit_log_names_who_did_what(operator, task):
    failed = task("failed")
    post(operator, f"tasks/{failed.pk}/discard/")
    name = str(operator.user)

    page = " ".join(operator.get("/console/audit/").text.split())

    for text in (name, "<td>discard</td>", f"<td>task {failed.pk}</td>"):
        assert text in page
    operator.user.delete()
    assert AuditEntry.objects.get().user_text == name


def test_an_action_that_fails_leaves_neither_change_nor_entry(operator, task, monkeypatch):
    monkeypatch.setattr("durable.console.actions.record", lambda *_, **__: 1 / 0)
    run = task()

    with pytest.raises(ZeroDivisionError):
        perform(operator.user, "task", TASKS.action("cancel"), [run.pk])

    assert status_of(run) == "queued"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("kind", "state", "action"),
    [(TASKS, "failed", "replay"), (TASKS, "queued", "cancel"), (EMAILS, "sent", "resend")],
)
def test_of_several_people_at_once_one_changes_a_row(operator, task, mail, kind, state, action):
    rows = [(task if kind is TASKS else mail)(state) for _ in range(3)]
    pks, together, changed = [row.pk for row in rows], threading.Barrier(4), []

    def act():
        together.wait()
        changed.append(perform(operator.user, kind.name, kind.action(action), pks).changed)
        connection.close()

    threads = [threading.Thread(target=act) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(changed) == [0, 0, 0, 3]
