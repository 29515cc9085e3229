"""Everybody's invitations, for the staff."""

from collections.abc import Callable

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.invitations import services
from apps.invitations.models import Invitation


@admin.register(Invitation)
class InvitationAdmin(admin.ModelAdmin):
    """Invitations: made on their own page, here sent again or taken back."""

    list_display = ("email", "role", "state", "invited_by", "sent_at", "expires_at")
    list_filter = ("state", "role", "created_at")
    list_select_related = ("invited_by",)
    search_fields = ("email", "invited_by__email")
    # Not the hash: who may look at rows need not know of the secrets' traces.
    fields = (
        *("email", "role", "state", "invited_by", "accepted_by"),
        *("created_at", "sent_at", "expires_at", "accepted_at"),
    )
    actions = ("resend", "revoke")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Invitation | None = None) -> bool:
        """Allow the list's actions, and no change of a single invitation."""
        return obj is None and super().has_change_permission(request)

    @admin.action(description="Send a new link", permissions=["change"])
    def resend(self, request: HttpRequest, chosen: QuerySet[Invitation]) -> None:
        """Send new links to those that are pending."""
        self.apply(request, services.resend, chosen, "sent again")

    @admin.action(description="Revoke", permissions=["change"])
    def revoke(self, request: HttpRequest, chosen: QuerySet[Invitation]) -> None:
        """Take back those that are pending."""
        self.apply(request, services.revoke, chosen, "revoked")

    def apply(
        self,
        request: HttpRequest,
        act: Callable[[Invitation], bool],
        chosen: QuerySet[Invitation],
        done: str,
    ) -> None:
        """Do it to each, and say how many it reached."""
        count = sum(map(act, chosen))
        self.message_user(request, f"{count} of {len(chosen)} {done}.")
