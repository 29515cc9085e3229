"""The secret in an invitation's link. No row holds it, and the broker never sees it.

It is made from SECRET_KEY and a random nonce in the invitation's row when the mail is rendered; what
is looked up is its hash. So whoever reads the tables, or a backup of them, can accept nothing. A new
nonce makes the links that were sent before worthless. So does a new SECRET_KEY for mails that are
rendered after it: send those again.
"""

import secrets
from hashlib import sha256

from django.conf import settings
from django.urls import reverse
from django.utils.crypto import salted_hmac

SALT = "apps.invitations.links"


def new_nonce() -> str:
    """Return 128 random bits as a text."""
    return secrets.token_hex(16)


def token_of(nonce: str) -> str:
    """Return the secret that belongs to a nonce: 256 bits that nobody guesses without SECRET_KEY."""
    return salted_hmac(SALT, nonce, algorithm="sha256").hexdigest()


def hash_of(token: str) -> str:
    """Return what is kept of a secret. It is random and long, so a plain hash protects it."""
    return sha256(token.encode()).hexdigest()


def link_of(nonce: str) -> str:
    """Return the address that a mail carries."""
    path = reverse("invitations:accept", args=[token_of(nonce)])
    return f"{settings.FRONTEND_URL}{path}"
