"""All invitations in the admin."""

from collections.abc import Callable

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.invitations import services
from apps.invitations.models import Invitation


@admin.register(Invitation)
class InvitationAdmin(admin.ModelAdmin):
    """Invitations can be resent and revoked here; the page `invitations:list` creates them."""

    list_display = ("email", "role", "state", "invited_by", "sent_at", "expires_at")
    list_filter = ("state", "role", "created_at")
    list_select_related = ("invited_by",)
    search_fields = ("email", "invited_by__email")
    # Without the hash of the token: view-only users do not need it.
    fields = (
        *("email", "role", "state", "invited_by", "accepted_by"),
        *("created_at", "sent_at", "expires_at", "accepted_at"),
    )
    actions = ("resend", "revoke")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Invitation | None = None) -> bool:
        """Allow the actions of the list, but not the form of an invitation."""
        return obj is None and super().has_change_permission(request)

    @admin.action(description="Resend with a new link", permissions=["change"])
    def resend(self, request: HttpRequest, invitations: QuerySet[Invitation]) -> None:
        """Send new links for pending invitations."""
        self.apply(request, services.resend, invitations, "resent")

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, invitations: QuerySet[Invitation]) -> None:
        """Revoke pending invitations."""
        self.apply(request, services.revoke, invitations, "revoked")

    def apply(
        self,
        request: HttpRequest,
        change: Callable[[Invitation], bool],
        invitations: QuerySet[Invitation],
        done: str,
    ) -> None:
        """Apply a change to each, and show how many have changed."""
        count = sum(map(change, invitations))
        self.message_user(request, f"{count} of {len(invitations)} {done}.")
