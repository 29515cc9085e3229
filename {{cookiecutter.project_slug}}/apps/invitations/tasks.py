"""Durable, all but the cleanup: somebody waits for an invitation, and its inviter believes it sent.

A cleanup that is lost is made up for by the next night's.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import structlog
from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.db.models.functions import Now

from apps.invitations.models import Invitation
from apps.invitations.sending import Outcome, queue_mail
from durable.api import DurableTask, Task

logger = structlog.get_logger(__name__)

RETENTION = timedelta(days=90)  # of what came to nothing; what was accepted stays
CHANGED_AT_ONCE = 1_000  # rows; one short transaction each


@shared_task(base=DurableTask, name="invitations.send_invitation_email")
def send_invitation_email(invitation_id: int) -> Outcome:
    """Queue an invitation's mail; see `queue_mail`."""
    outcome = queue_mail(invitation_id)
    logger.info("invitation_sent", invitation=invitation_id, **outcome)
    return outcome


@shared_task(base=DurableTask, name="invitations.send_bulk_invitations")
def send_bulk_invitations(invitation_ids: Sequence[int]) -> dict[str, Any]:
    """Queue many invitations' mails; one that fails holds up no other.

    Returns:
        how many were a `success`, `skipped` or `failed`, and the `errors` of those by their ids.
        After an interruption it runs again, and skips what it had queued.
    """
    counts: dict[str, Any] = {"success": 0, "failed": 0, "skipped": 0, "errors": {}}
    for invitation_id in invitation_ids:
        try:
            counts[queue_mail(invitation_id)["status"]] += 1
        except ValueError as error:
            counts["failed"] += 1
            counts["errors"][str(invitation_id)] = str(error)
    logger.info("invitations_sent", **counts)
    return counts


@shared_task(base=Task, name="invitations.cleanup_expired_invitations")
def cleanup_expired_invitations() -> dict[str, int]:
    """Mark what has run out, delete what came to nothing long ago; return how many of each."""
    ended = Invitation.objects.filter(
        state__in=[Invitation.State.EXPIRED, Invitation.State.REVOKED],
        created_at__lt=Now() - RETENTION,
    )
    counts = {"expired": 0, "deleted": 0}
    try:
        while pks := first(Invitation.objects.run_out().order_by("expires_at")):
            # Asked again, since somebody may have sent one again.
            due = Invitation.objects.run_out().filter(pk__in=pks)
            counts["expired"] += due.update(state=Invitation.State.EXPIRED)
        while pks := first(ended.order_by("created_at")):
            counts["deleted"] += ended.filter(pk__in=pks).delete()[0]
    except SoftTimeLimitExceeded:
        logger.info("invitation_cleanup_goes_on_tomorrow", **counts)
    return counts


def first(invitations: Any) -> list[int]:
    """Return the ids of the first rows."""
    return list(invitations.values_list("pk", flat=True)[:CHANGED_AT_ONCE])
