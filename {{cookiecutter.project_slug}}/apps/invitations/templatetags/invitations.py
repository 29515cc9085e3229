"""What the mail's templates call."""

from django import template

from apps.invitations.links import link_of
from apps.invitations.models import Invitation

register = template.Library()


@register.simple_tag
def invitation_link(invitation_id: int) -> str:
    """Return the link of an invitation that is still there, as it holds when the mail is rendered."""
    nonce = Invitation.objects.filter(pk=invitation_id).values_list("nonce", flat=True).first()
    return link_of(nonce) if nonce else ""
