"""The invitation form."""

from typing import Any

from django import forms

from apps.invitations.models import Invitation
from apps.invitations.services import can_grant
from apps.users.models import User
from durable.api import bare_address, validate_address

MAX_LENGTH = 254  # characters of an address (RFC 5321, as in Django's EmailField)
MAX_ADDRESSES = 500  # in one form: a worker queues that many emails within seconds


class InviteForm(forms.Form):
    """One or more addresses, and the role of the invited users."""

    emails = forms.CharField(
        label="Email addresses",
        help_text="One per line.",
        widget=forms.Textarea({"rows": 5}),
        max_length=MAX_ADDRESSES * MAX_LENGTH,
    )
    role = forms.ChoiceField()

    def __init__(self, inviter: User, *args: Any, **kwargs: Any) -> None:
        """Offer the roles that the inviter can grant."""
        super().__init__(*args, **kwargs)
        roles = [choice for choice in Invitation.Role.choices if can_grant(inviter, choice[0])]
        self.fields["role"].choices = roles  # type: ignore[attr-defined]

    def clean_emails(self) -> list[str]:
        """Return the addresses without duplicates, or an error for each invalid line."""
        found: dict[str, str] = {}
        errors = []
        for number, line in enumerate(self.cleaned_data["emails"].splitlines(), start=1):
            address = line.strip()
            if not address:
                continue
            try:
                found.setdefault(address.lower(), clean_address(address))
            except ValueError:
                errors.append(f"Line {number}: {address!r} is not an email address.")
        if len(found) > MAX_ADDRESSES:
            errors.append(f"{len(found)} addresses: the limit is {MAX_ADDRESSES}.")
        if errors:
            raise forms.ValidationError(errors)
        return list(found.values())


def clean_address(address: str) -> str:
    """Return an address.

    Raises:
        ValueError: it is invalid, has a display name, or is too long for the row.
    """
    if bare_address(address) != address.lower() or len(address) > MAX_LENGTH:
        raise ValueError(address)
    return validate_address("email", address)
