"""Queues the email of an invitation, once for each link."""

from django.db import transaction
from django.db.models.functions import Now
from django.utils.formats import date_format
from django.utils.timezone import localtime

from apps.invitations.models import Invitation
from durable.api import send_email

Outcome = dict[str, str]


def queue_email(invitation_id: int) -> Outcome:
    """Queue the email of an invitation, unless there is a reason to skip it.

    Returns:
        `{"status": "success", "email_id": …}` or `{"status": "skipped", "reason": …}`.

    Raises:
        ValueError: the address cannot receive email.
    """
    with transaction.atomic():
        invitation = (
            Invitation.objects.select_for_update(of=("self",))
            .select_related("invited_by")
            .filter(pk=invitation_id)
            .first()
        )
        if invitation is None or (reason := skip_reason(invitation)):
            return {"status": "skipped", "reason": "unknown" if invitation is None else reason}
        email = send_email(
            "invitation",
            invitation.email,
            {
                "invitation_id": invitation.pk,
                "inviter": invitation.invited_by.get_full_name() or str(invitation.invited_by),
                "expires_at": date_format(localtime(invitation.expires_at), "DATETIME_FORMAT"),
            },
            key=f"invitation-{invitation.pk}-{invitation.nonce}",
            related=invitation,
        )
        Invitation.objects.filter(pk=invitation.pk).update(sent_at=Now())
    return {"status": "success", "email_id": str(email.pk)}


def skip_reason(invitation: Invitation) -> str:
    """Return why no email is due, or an empty text."""
    if invitation.state != Invitation.State.PENDING:
        return invitation.state
    if not Invitation.objects.open().filter(pk=invitation.pk).exists():
        return "expired"
    return "already sent" if invitation.sent_at else ""
