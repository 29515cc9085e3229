"""What the pages and the admin call."""

from collections.abc import Iterable
from datetime import timedelta

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from apps.invitations.links import hash_of, new_nonce, token_of
from apps.invitations.models import Invitation
from apps.invitations.tasks import send_bulk_invitations, send_invitation_email
from apps.notifications.services import notify
from apps.users.models import User

LIFETIME = timedelta(days=7)  # long enough for a holiday, short enough for a forgotten mailbox


class CannotAcceptError(Exception):
    """Why an invitation cannot be accepted, as a word: `unknown` or its state."""


def may_grant(inviter: User, role: str) -> bool:
    """Say whether somebody may make others what a role says: only superusers make staff."""
    return role != Invitation.Role.STAFF or (inviter.is_active and inviter.is_superuser)


def fresh_link() -> dict[str, object]:
    """Return the fields of a new link; one that was sent before holds no more."""
    nonce = new_nonce()
    return {
        "nonce": nonce,
        "token_hash": hash_of(token_of(nonce)),
        "sent_at": None,
        "expires_at": timezone.now() + LIFETIME,
    }


def invite(
    inviter: User, emails: Iterable[str], role: str = Invitation.Role.MEMBER
) -> list[Invitation]:
    """Invite addresses; one that waits for an answer already gets no second invitation.

    Returns:
        the new invitations.

    Raises:
        PermissionDenied: the inviter may not give this role.
    """
    if not may_grant(inviter, role):
        raise PermissionDenied("Only a superuser invites staff.")
    with transaction.atomic():
        # What has run out makes room, also before the night's cleanup.
        Invitation.objects.run_out().update(state=Invitation.State.EXPIRED)
        rows = [
            Invitation(email=email, role=role, invited_by=inviter, **fresh_link())
            for email in emails
        ]
        Invitation.objects.bulk_create(rows, ignore_conflicts=True)
        nonces = [row.nonce for row in rows]
        new = list(Invitation.objects.filter(nonce__in=nonces).order_by("pk"))
        if len(new) == 1:
            send_invitation_email.delay(new[0].pk)
        elif new:
            send_bulk_invitations.delay([invitation.pk for invitation in new])
    return new


def resend(invitation: Invitation) -> bool:
    """Send a new link, and let the old one hold no more; return whether that was still of use."""
    with transaction.atomic():
        pending = Invitation.objects.filter(pk=invitation.pk, state=Invitation.State.PENDING)
        if not pending.update(**fresh_link()):
            return False
        send_invitation_email.delay(invitation.pk)
    return True


def revoke(invitation: Invitation) -> bool:
    """Take an invitation back; return whether that came in time."""
    pending = Invitation.objects.filter(pk=invitation.pk, state=Invitation.State.PENDING)
    return bool(pending.update(state=Invitation.State.REVOKED))


def find(token: str) -> Invitation:
    """Return the invitation that a link opens.

    Raises:
        CannotAcceptError: there is none, or it holds no more.
    """
    # One look: by the second, another may have accepted it, and it would seem to have run out.
    known = Invitation.objects.annotate(is_late=Q(expires_at__lte=Now()))
    invitation = known.select_related("invited_by").filter(token_hash=hash_of(token)).first()
    if invitation is None:
        raise CannotAcceptError("unknown")
    if invitation.state != Invitation.State.PENDING:
        raise CannotAcceptError(invitation.state)
    if invitation.is_late:
        raise CannotAcceptError(Invitation.State.EXPIRED)
    return invitation


def user_of(invitation: Invitation) -> User | None:
    """Return who has the invited address already."""
    return User.objects.with_email(invitation.email).first()


def accept(token: str, *, password: str | None = None) -> User:
    """Accept an invitation, once.

    Args:
        token: the secret of its link.
        password: of the account that is made, unless the invited person has one.

    Returns:
        who has accepted.

    Raises:
        CannotAcceptError: it holds no more, or somebody was quicker.
    """
    invitation = find(token)
    with transaction.atomic():
        claimed = (
            Invitation.objects.open()
            .filter(pk=invitation.pk, token_hash=hash_of(token))
            .update(state=Invitation.State.ACCEPTED, accepted_at=Now())
        )
        if not claimed:
            raise CannotAcceptError(Invitation.State.ACCEPTED)
        user = user_of(invitation) or User.objects.create_user(invitation.email, password)
        grant(invitation, user)
        Invitation.objects.filter(pk=invitation.pk).update(accepted_by=user)
        notify(
            invitation.invited_by,
            "invitation",
            f"{invitation.email} has accepted your invitation",
            url=reverse("invitations:list"),
        )
    return user


def grant(invitation: Invitation, user: User) -> None:
    """Give the role, if its inviter may still give it: they may have lost that right meanwhile."""
    if invitation.role == Invitation.Role.STAFF and may_grant(
        invitation.invited_by, invitation.role
    ):
        user.is_staff = True
        user.save(update_fields=["is_staff"])
