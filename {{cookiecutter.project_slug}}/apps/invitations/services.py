"""Functions for the pages and the admin."""

from collections.abc import Iterable
from datetime import timedelta

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from apps.invitations.models import Invitation
from apps.invitations.tasks import send_bulk_invitations, send_invitation_email
from apps.invitations.tokens import hash_token, new_nonce, token_for
from apps.notifications.services import notify
from apps.users.models import User

LIFETIME = timedelta(days=7)  # of a link: longer than most holidays, and a limit for old mailboxes


class CannotAcceptError(Exception):
    """The invitation cannot be accepted. The text is `unknown` or the invitation's state."""


def can_grant(inviter: User, role: str) -> bool:
    """Return whether a user can grant a role: only superusers add staff."""
    return role != Invitation.Role.STAFF or (inviter.is_active and inviter.is_superuser)


def new_link() -> dict[str, object]:
    """Return the fields of a new link, which invalidates an earlier one."""
    nonce = new_nonce()
    return {
        "nonce": nonce,
        "token_hash": hash_token(token_for(nonce)),
        "sent_at": None,
        "expires_at": timezone.now() + LIFETIME,
    }


def invite(
    inviter: User, emails: Iterable[str], role: str = Invitation.Role.MEMBER
) -> list[Invitation]:
    """Invite addresses, except those with a pending invitation.

    Returns:
        the new invitations.

    Raises:
        PermissionDenied: the inviter cannot grant this role.
    """
    if not can_grant(inviter, role):
        raise PermissionDenied("Only superusers can invite staff.")
    with transaction.atomic():
        # Otherwise their addresses could not be invited until the nightly cleanup.
        Invitation.objects.overdue().update(state=Invitation.State.EXPIRED)
        rows = [
            Invitation(email=email, role=role, invited_by=inviter, **new_link()) for email in emails
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
    """Send a new link, which invalidates the old one; return whether the invitation was pending."""
    with transaction.atomic():
        pending = Invitation.objects.filter(pk=invitation.pk, state=Invitation.State.PENDING)
        if not pending.update(**new_link()):
            return False
        send_invitation_email.delay(invitation.pk)
    return True


def revoke(invitation: Invitation) -> bool:
    """Revoke an invitation; return whether it was pending."""
    pending = Invitation.objects.filter(pk=invitation.pk, state=Invitation.State.PENDING)
    return bool(pending.update(state=Invitation.State.REVOKED))


def find(token: str) -> Invitation:
    """Return the invitation of a link.

    Raises:
        CannotAcceptError: there is none, or it cannot be accepted any more.
    """
    # One query: between two, another request could accept it, and it would appear as expired.
    known = Invitation.objects.annotate(is_overdue=Q(expires_at__lte=Now()))
    invitation = known.select_related("invited_by").filter(token_hash=hash_token(token)).first()
    if invitation is None:
        raise CannotAcceptError("unknown")
    if invitation.state != Invitation.State.PENDING:
        raise CannotAcceptError(invitation.state)
    if invitation.is_overdue:
        raise CannotAcceptError(Invitation.State.EXPIRED)
    return invitation


def existing_user(invitation: Invitation) -> User | None:
    """Return the user with the invited address, if there is one."""
    return User.objects.with_email(invitation.email).first()


def accept(token: str, *, password: str | None = None) -> User:
    """Accept an invitation, once.

    Args:
        token: the secret in its link.
        password: of the new account, if the invited address has none.

    Returns:
        the user who has accepted.

    Raises:
        CannotAcceptError: it cannot be accepted any more, or another request was faster.
    """
    invitation = find(token)
    with transaction.atomic():
        claimed = (
            Invitation.objects.open()
            .filter(pk=invitation.pk, token_hash=hash_token(token))
            .update(state=Invitation.State.ACCEPTED, accepted_at=Now())
        )
        if not claimed:
            raise CannotAcceptError(Invitation.State.ACCEPTED)
        user = existing_user(invitation) or User.objects.create_user(invitation.email, password)
        grant_role(invitation, user)
        Invitation.objects.filter(pk=invitation.pk).update(accepted_by=user)
        notify(
            invitation.invited_by,
            "invitation",
            f"{invitation.email} accepted your invitation",
            url=reverse("invitations:list"),
        )
    return user


def grant_role(invitation: Invitation, user: User) -> None:
    """Grant the role, unless the inviter has lost the right to grant it."""
    if invitation.role == Invitation.Role.STAFF and can_grant(
        invitation.invited_by, invitation.role
    ):
        user.is_staff = True
        user.save(update_fields=["is_staff"])
