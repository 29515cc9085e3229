"""The invitation model."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Lower, Now


class InvitationQuerySet(models.QuerySet["Invitation"]):
    """Invitations by what is still possible."""

    def open(self) -> "InvitationQuerySet":
        """Return invitations that can be accepted, by the database's clock."""
        return self.filter(state=Invitation.State.PENDING, expires_at__gt=Now())

    def overdue(self) -> "InvitationQuerySet":
        """Return expired invitations that are not marked as expired yet."""
        return self.filter(state=Invitation.State.PENDING, expires_at__lte=Now())


class Invitation(models.Model):
    """One address, invited by one of the staff."""

    class Role(models.TextChoices):
        """The rights of the invited user."""

        MEMBER = "member"
        STAFF = "staff", "Staff"

    class State(models.TextChoices):
        """Only pending invitations change."""

        PENDING = "pending"
        ACCEPTED = "accepted"
        REVOKED = "revoked"
        EXPIRED = "expired"

    email = models.EmailField("email address")
    role = models.CharField(max_length=20, choices=Role, default=Role.MEMBER)
    state = models.CharField(max_length=20, choices=State, default=State.PENDING, editable=False)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="invitations",
        db_index=False,  # invitations_by_inviter begins with it
    )
    accepted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    # Of the current link: apps/invitations/tokens.py.
    nonce = models.CharField(max_length=32, editable=False)
    token_hash = models.CharField(max_length=64, editable=False)
    sent_at = models.DateTimeField("link sent at", null=True, blank=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    expires_at = models.DateTimeField(editable=False)
    accepted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects: ClassVar[InvitationQuerySet] = InvitationQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ("-created_at", "-pk")
        constraints = [
            # Not `unique=True` on the field: on PostgreSQL that creates a second index, for LIKE.
            models.UniqueConstraint(fields=["token_hash"], name="invitations_by_token"),
            models.UniqueConstraint(
                Lower("email"),
                condition=models.Q(state="pending"),
                name="invitations_one_pending_per_address",
                violation_error_message="This address is already invited.",
            ),
        ]
        indexes = [
            models.Index(
                fields=["invited_by", "-created_at", "-id"], name="invitations_by_inviter"
            ),
            # Both for the cleanup.
            models.Index(
                fields=["expires_at"],
                name="invitations_pending_by_expiry",
                condition=models.Q(state="pending"),
            ),
            models.Index(
                fields=["created_at"],
                name="invitations_ended_by_age",
                condition=models.Q(state__in=["expired", "revoked"]),
            ),
        ]

    def __str__(self) -> str:
        return self.email
