"""Tags for the templates of emails."""

from typing import Any

from django import template
from django.conf import settings
from django.urls import reverse

from apps.invitations.models import Invitation
from apps.invitations.tokens import invitation_url

register = template.Library()


@register.simple_tag(takes_context=True)
def invitation_link(context: dict[str, Any], invitation_id: int) -> str:
    """Return the current link of an invitation, or an empty text if it was deleted.

    The preview in the admin hides the token, or staff could accept the invitations of others.
    """
    if context["hide_secrets"]:
        return f"{settings.FRONTEND_URL}{reverse('invitations:accept', args=['hidden'])}"
    nonce = Invitation.objects.filter(pk=invitation_id).values_list("nonce", flat=True).first()
    return invitation_url(nonce) if nonce else ""
