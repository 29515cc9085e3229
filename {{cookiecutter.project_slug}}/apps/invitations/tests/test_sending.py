"""The tasks, run by hand and by a worker."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from celery import current_app
from django.db.models.functions import Now
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule

from apps.invitations import services, tasks
from apps.invitations.links import hash_of, token_of
from apps.invitations.models import Invitation
from apps.invitations.sending import queue_mail
from apps.users.models import User
from durable.mail.models import Email
from durable.mail.rendering import render
from durable.tasks.models import TaskRun
from durable.testing.workers import wait_until


@pytest.fixture
def inviter():
    return User.objects.create_superuser("boss@example.com", first_name="Ada", last_name="Boss")


@pytest.fixture
def invitation(inviter):
    return services.invite(inviter, ["ann@example.com"])[0]


def send(invitation):
    return tasks.send_invitation_email(invitation.pk)


@pytest.mark.django_db
def test_an_invitation_is_sent_once_for_each_link(invitation):
    first, second = send(invitation), send(invitation)

    email = Email.objects.get()
    assert first == {"status": "success", "email_id": str(email.pk)}
    assert second == {"status": "skipped", "reason": "already sent"}

    services.resend(invitation)
    assert send(invitation)["status"] == "success"
    assert Email.objects.count() == 2


@pytest.mark.django_db
def test_a_run_that_died_after_the_mail_was_queued_queues_no_other(invitation):
    send(invitation)
    Invitation.objects.update(sent_at=None)

    send(invitation)

    assert Email.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["accepted", "revoked", "expired"])
def test_what_holds_no_more_is_skipped(invitation, state):
    Invitation.objects.update(state=state)

    assert send(invitation) == {"status": "skipped", "reason": state}
    assert not Email.objects.exists()


@pytest.mark.django_db
def test_what_has_run_out_or_is_unknown_is_skipped(invitation):
    Invitation.objects.update(expires_at=Now() - timedelta(seconds=1))

    assert send(invitation)["reason"] == "expired"
    assert tasks.send_invitation_email(0)["reason"] == "unknown"


@pytest.mark.django_db
def test_a_bulk_counts_and_one_bad_address_holds_up_no_other(inviter):
    emails = [f"person{number}@example.com" for number in range(3)]
    new = services.invite(inviter, emails)
    bad, revoked, _good = new
    Invitation.objects.filter(pk=bad.pk).update(email="nobody")
    services.revoke(revoked)

    counts = tasks.send_bulk_invitations([invitation.pk for invitation in new])

    assert counts == {
        "success": 1,
        "failed": 1,
        "skipped": 1,
        "errors": {str(bad.pk): "to: 'nobody' is not an email address"},
    }
    again = tasks.send_bulk_invitations([invitation.pk for invitation in new])
    assert (again["success"], again["skipped"]) == (0, 2)


@pytest.mark.django_db
def test_no_row_holds_the_secret_and_the_mail_does(invitation, settings):
    settings.FRONTEND_URL = "https://service.example"
    send(invitation)
    invitation.refresh_from_db()
    token = token_of(invitation.nonce)
    email = Email.objects.get()

    content = render(email)

    link = f"https://service.example/invitations/accept/{token}/"
    assert link in content.text
    assert f'href="{link}"' in content.html
    assert "Ada Boss invites you" in content.subject
    assert invitation.token_hash == hash_of(token)
    runs = TaskRun.objects.values_list("args", "kwargs")
    for kept in (email.context, email.key, list(runs), vars(invitation)):
        assert token not in str(kept)


@pytest.mark.django_db
def test_the_cleanup_marks_what_has_run_out_and_deletes_what_came_to_nothing(inviter, monkeypatch):
    monkeypatch.setattr(tasks, "CHANGED_AT_ONCE", 2)
    emails = [f"person{number}@example.com" for number in range(7)]
    new = services.invite(inviter, emails)
    keys = [invitation.pk for invitation in new]
    Invitation.objects.filter(pk__in=keys[:3]).update(expires_at=Now() - timedelta(days=1))
    old = {"created_at": Now() - tasks.RETENTION - timedelta(days=1)}
    Invitation.objects.filter(pk__in=keys[3:5]).update(state="revoked", **old)
    Invitation.objects.filter(pk=keys[5]).update(state="accepted", **old)

    assert tasks.cleanup_expired_invitations() == {"expired": 3, "deleted": 2}
    assert tasks.cleanup_expired_invitations() == {"expired": 0, "deleted": 0}
    states = Invitation.objects.order_by("pk").values_list("state", flat=True)
    assert list(states) == ["expired"] * 3 + ["accepted", "pending"]


@pytest.mark.django_db
def test_the_cleanup_is_at_two_in_utc_wherever_the_service_is(monkeypatch):
    tokyo = ZoneInfo("Asia/Tokyo")
    monkeypatch.setattr(current_app._get_current_object(), "timezone", tokyo)
    declared = current_app.conf.beat_schedule["clean up expired invitations"]["schedule"]
    row = CrontabSchedule.from_schedule(declared)
    row.save()
    row.refresh_from_db()

    with time_machine.travel("2025-06-01T01:30:00Z", tick=False):
        now = datetime.now(UTC)
        assert now + row.schedule.remaining_estimate(now) == now + timedelta(minutes=30)


@pytest.mark.django_db(transaction=True)
def test_a_worker_sends_what_was_invited(worker, mailbox):
    inviter = User.objects.create_superuser("boss@example.com")

    services.invite(inviter, ["ann@example.com", "bob@example.com"])

    wait_until(lambda: Email.objects.filter(status="sent").count() == 2)
    invitation = Invitation.objects.get(email="ann@example.com")
    texts = {mail["To"]: mail.get_body(("plain",)).get_content() for mail in mailbox.messages}
    assert token_of(invitation.nonce) in texts["ann@example.com"]


@pytest.mark.django_db
def test_the_mail_says_until_when_in_the_services_time_zone(invitation):
    Invitation.objects.update(expires_at=datetime(2027, 1, 8, 1, tzinfo=UTC))
    with timezone.override("America/Los_Angeles"):
        queue_mail(invitation.pk)

    assert "until 7 January 2027, 17:00 PST" in render(Email.objects.get()).text
