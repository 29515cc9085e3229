"""Invitations are durable tasks, since the inviter relies on them.

The cleanup is a plain task: if one run is lost, the next night's run does the same work.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import structlog
from celery import shared_task
from django.db.models.functions import Now

from apps.invitations.emails import Outcome, queue_email
from apps.invitations.models import Invitation
from durable.api import DurableTask, Task, purge

logger = structlog.get_logger(__name__)

RETENTION = timedelta(days=90)  # of expired and revoked invitations; accepted ones are kept


@shared_task(base=DurableTask, name="invitations.send_invitation_email")
def send_invitation_email(invitation_id: int) -> Outcome:
    """Queue the email of an invitation; see `queue_email`."""
    outcome = queue_email(invitation_id)
    logger.info("invitation_processed", invitation=invitation_id, **outcome)
    return outcome


@shared_task(base=DurableTask, name="invitations.send_bulk_invitations")
def send_bulk_invitations(invitation_ids: Sequence[int]) -> dict[str, Any]:
    """Queue the emails of several invitations; an invalid address does not stop the others.

    A run after an interruption skips the emails that are queued already.

    Returns:
        the numbers of `success`, `skipped` and `failed`, and the `errors` by invitation id.
    """
    counts: dict[str, Any] = {"success": 0, "failed": 0, "skipped": 0, "errors": {}}
    for invitation_id in invitation_ids:
        try:
            counts[queue_email(invitation_id)["status"]] += 1
        except ValueError as error:
            counts["failed"] += 1
            counts["errors"][str(invitation_id)] = str(error)
    logger.info("invitations_processed", **counts)
    return counts


@shared_task(base=Task, name="invitations.cleanup_expired_invitations")
def cleanup_expired_invitations() -> dict[str, int]:
    """Mark overdue invitations as expired and delete old ones; return how many of each."""
    expired = Invitation.objects.overdue().update(state=Invitation.State.EXPIRED)
    old = Invitation.objects.filter(
        state__in=[Invitation.State.EXPIRED, Invitation.State.REVOKED],
        created_at__lt=Now() - RETENTION,
    )
    return {"expired": expired, "deleted": purge(old.order_by("created_at"))}
