"""What the mail's templates call."""

from typing import Any

from django import template
from django.conf import settings
from django.urls import reverse

from apps.invitations.links import link_of
from apps.invitations.models import Invitation

register = template.Library()


@register.simple_tag(takes_context=True)
def invitation_link(context: dict[str, Any], invitation_id: int) -> str:
    """Return the link of an invitation that is still there, as it holds when the mail is rendered.

    Whoever looks at the mail in the admin is not the one it lets in.
    """
    if context["hide_secrets"]:
        return f"{settings.FRONTEND_URL}{reverse('invitations:accept', args=['hidden'])}"
    nonce = Invitation.objects.filter(pk=invitation_id).values_list("nonce", flat=True).first()
    return link_of(nonce) if nonce else ""
