"""Viewers look; each action needs a permission of its own."""

from datetime import timedelta

import pytest
from django.db.models.functions import Now

from durable.console.models import AuditEntry
from durable.tasks.models import PausedQueue
from durable.tasks.tasks import purge_old_runs

pytestmark = pytest.mark.django_db
PAGES = ["", "content/", "tasks/", "emails/", "workers/", "periodic/", "queues/default/", "audit/"]


@pytest.mark.parametrize("page", PAGES)
def test_visitors_are_sent_to_the_login(client, page):
    response = client.get(f"/console/{page}")

    assert (response.status_code, response.url) == (
        302,
        f"/accounts/login/?next=/console/{page}",
    )


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    ("permissions", "is_staff"), [((), True), (("view_console",), False), (("replay_work",), True)]
)
def test_others_get_a_page_that_names_the_permission(login, page, permissions, is_staff):
    response = login(*permissions, is_staff=is_staff).get(f"/console/{page}")

    assert response.status_code == 403
    assert "console.view_console" in response.text


@pytest.mark.parametrize("page", PAGES)
def test_viewers_see_every_page(viewer, page):
    response = viewer.get(f"/console/{page}")

    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]


def test_only_those_who_may_see_the_console_get_a_link(client, viewer, login):
    link = 'href="/console/"'

    assert link in viewer.get("/").text
    assert link not in login().get("/").text
    assert link not in client.get("/").text


@pytest.mark.parametrize("page", ["content/", "tasks/", "workers/"])
def test_a_refresh_that_is_refused_loads_the_page_again_which_says_why(client, login, page):
    for visitor in (client, login()):
        response = visitor.get(f"/console/{page}", headers={"HX-Request": "true"})

        assert (response.status_code, response["HX-Refresh"], response.text) == (200, "true", "")


ACTIONS = [
    ("replay_work", "failed", "tasks/{}/replay/"),
    ("cancel_work", "queued", "tasks/{}/cancel/"),
    ("stop_work", "running", "tasks/{}/stop/"),
    ("run_work", "scheduled", "tasks/{}/run/"),
    ("discard_work", "failed", "tasks/{}/discard/"),
    ("pause_queues", "queued", "queues/default/pause/"),
    ("pause_queues", "queued", "queues/default/resume/"),
]


@pytest.mark.parametrize(("permission", "state", "url"), ACTIONS)
def test_an_action_needs_its_own_permission(login, task, permission, state, url):
    others = {other for other, _, _ in ACTIONS} - {permission}
    path = f"/console/{url.format(task(state).pk)}"

    refused = login("view_console", *sorted(others)).post(path)
    assert refused.status_code == 403
    assert f"console.{permission}" in refused.text
    assert not AuditEntry.objects.exists()
    assert not PausedQueue.objects.exists()

    allowed = login("view_console", permission).post(path)
    assert allowed.status_code == 302
    assert AuditEntry.objects.count() == 1


@pytest.mark.parametrize(
    ("permission", "action"),
    [("replay_work", "resend"), ("cancel_work", "cancel"), ("run_work", "run")],
)
def test_an_action_on_mails_needs_its_own_permission(login, mail, permission, action):
    path = f"/console/emails/{mail().pk}/{action}/"

    assert login("view_console").post(path).status_code == 403
    assert login("view_console", permission).post(path).status_code == 302


@pytest.mark.parametrize("state", ["failed", "queued", "scheduled"])
def test_viewers_get_no_buttons(viewer, task, state):
    run = task(state)

    for path in ("/console/", "/console/tasks/", f"/console/tasks/{run.pk}/"):
        assert '<form method="post" action="/console' not in " ".join(viewer.get(path).text.split())
        assert 'type="checkbox"' not in viewer.get(path).text


def test_an_action_is_no_link(operator, task):
    assert operator.get(f"/console/tasks/{task('failed').pk}/replay/").status_code == 405


def test_old_entries_of_the_audit_log_are_purged(operator, settings):
    settings.AUDIT_RETENTION = timedelta(days=30)
    old, new = (AuditEntry.objects.create(user_text="Ann", action="pause") for _ in range(2))
    AuditEntry.objects.filter(pk=old.pk).update(at=Now() - timedelta(days=31))

    assert purge_old_runs() == 1

    assert [*AuditEntry.objects.all()] == [new]
