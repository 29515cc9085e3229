"""The form that invites."""

from typing import Any

from django import forms

from apps.invitations.models import Invitation
from apps.invitations.services import may_grant
from apps.users.models import User
from durable.api import bare_address, validate_address

LONGEST = 254  # characters of an address (RFC 5321, as in Django's EmailField)
MOST_AT_ONCE = 500  # addresses: what a person pastes, and a worker queues within seconds


class InviteForm(forms.Form):
    """One or several addresses, and what they become."""

    emails = forms.CharField(
        label="Email addresses",
        help_text="One per line.",
        widget=forms.Textarea({"rows": 5}),
        max_length=MOST_AT_ONCE * LONGEST,
    )
    role = forms.ChoiceField()

    def __init__(self, inviter: User, *args: Any, **kwargs: Any) -> None:
        """Offer the roles that the inviter may give."""
        super().__init__(*args, **kwargs)
        roles = [choice for choice in Invitation.Role.choices if may_grant(inviter, choice[0])]
        self.fields["role"].choices = roles  # type: ignore[attr-defined]

    def clean_emails(self) -> list[str]:
        """Return the addresses, each once, or say in which lines there is none."""
        found: dict[str, str] = {}
        mistakes = []
        for number, line in enumerate(self.cleaned_data["emails"].splitlines(), start=1):
            address = line.strip()
            if not address:
                continue
            try:
                found.setdefault(address.lower(), bare(address))
            except ValueError:
                mistakes.append(f"Line {number}: {address!r} is not an email address.")
        if len(found) > MOST_AT_ONCE:
            mistakes.append(f"{len(found)} addresses, and {MOST_AT_ONCE} may be invited at once.")
        if mistakes:
            raise forms.ValidationError(mistakes)
        return list(found.values())


def bare(address: str) -> str:
    """Return an address without a name.

    Raises:
        ValueError: it is none, or too long for a row.
    """
    if bare_address(address) != address.lower() or len(address) > LONGEST:
        raise ValueError(address)
    return validate_address("email", address)
