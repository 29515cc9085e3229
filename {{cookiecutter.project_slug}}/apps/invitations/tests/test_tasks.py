"""The tasks, called directly and run by a worker."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine
from celery import current_app
from django.db.models.functions import Now
from django.utils import timezone
from django_celery_beat.models import CrontabSchedule

from apps.invitations import services, tasks
from apps.invitations.emails import queue_email
from apps.invitations.models import Invitation
from apps.invitations.tokens import hash_token, token_for
from apps.users.models import User
from durable.api import Email, TaskRun
from durable.mail.rendering import render
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
def test_each_link_is_sent_once(invitation):
    first, second = send(invitation), send(invitation)

    email = Email.objects.get()
    assert first == {"status": "success", "email_id": str(email.pk)}
    assert second == {"status": "skipped", "reason": "already sent"}

    services.resend(invitation)
    assert send(invitation)["status"] == "success"
    assert Email.objects.count() == 2


@pytest.mark.django_db
def test_a_second_run_after_a_crash_queues_no_second_mail(invitation):
    send(invitation)
    Invitation.objects.update(sent_at=None)

    send(invitation)

    assert Email.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["accepted", "revoked", "expired"])
def test_invitations_that_are_not_pending_are_skipped(invitation, state):
    Invitation.objects.update(state=state)

    assert send(invitation) == {"status": "skipped", "reason": state}
    assert not Email.objects.exists()


@pytest.mark.django_db
def test_overdue_and_unknown_invitations_are_skipped(invitation):
    Invitation.objects.update(expires_at=Now() - timedelta(seconds=1))

    assert send(invitation)["reason"] == "expired"
    assert tasks.send_invitation_email(0)["reason"] == "unknown"


@pytest.mark.django_db
def test_one_invalid_address_does_not_stop_the_others(inviter):
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
def test_only_the_rendered_mail_contains_the_token(invitation, settings):
    settings.FRONTEND_URL = "https://service.example"
    send(invitation)
    invitation.refresh_from_db()
    token = token_for(invitation.nonce)
    email = Email.objects.get()

    content = render(email)

    link = f"https://service.example/invitations/accept/{token}/"
    assert link in content.text
    assert f'href="{link}"' in content.html
    assert "Ada Boss invites you" in content.subject
    assert invitation.token_hash == hash_token(token)
    runs = TaskRun.objects.values_list("args", "kwargs")
    for stored in (email.context, email.key, list(runs), vars(invitation)):
        assert token not in str(stored)


@pytest.mark.django_db
def test_the_cleanup_marks_overdue_and_deletes_old_invitations(inviter):
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
def test_the_cleanup_runs_at_two_utc_in_any_time_zone(monkeypatch):
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
def test_a_worker_sends_the_mails(worker, mailbox):
    inviter = User.objects.create_superuser("boss@example.com")

    services.invite(inviter, ["ann@example.com", "bob@example.com"])

    wait_until(lambda: Email.objects.filter(status="sent").count() == 2)
    invitation = Invitation.objects.get(email="ann@example.com")
    texts = {mail["To"]: mail.get_body(("plain",)).get_content() for mail in mailbox.messages}
    assert token_for(invitation.nonce) in texts["ann@example.com"]


@pytest.mark.django_db
def test_the_mail_shows_the_expiry_in_the_time_zone_of_the_service(invitation):
    Invitation.objects.update(expires_at=datetime(2027, 1, 8, 1, tzinfo=UTC))
    with timezone.override("America/Los_Angeles"):
        queue_email(invitation.pk)

    assert "expires on 7 Jan 2027, 17:00 PST" in render(Email.objects.get()).text
