"""The secret tokens of invitation links. No row stores a token, and the broker never sees one.

A token is derived from SECRET_KEY and the random nonce in the invitation's row when the email is
rendered; it is looked up by its hash. A copy of the tables, such as a backup, lets no one accept an
invitation. A new nonce invalidates earlier links. A new SECRET_KEY does so for emails that are
rendered later: resend those invitations.
"""

import secrets
from hashlib import sha256

from django.conf import settings
from django.urls import reverse
from django.utils.crypto import salted_hmac

SALT = "apps.invitations.tokens"


def new_nonce() -> str:
    """Return 128 random bits as hexadecimal text."""
    return secrets.token_hex(16)


def token_for(nonce: str) -> str:
    """Return the token of a nonce: 256 bits, derived with SECRET_KEY."""
    return salted_hmac(SALT, nonce, algorithm="sha256").hexdigest()


def hash_token(token: str) -> str:
    """Return the hash that is stored. A token is long and random, so a plain hash is enough."""
    return sha256(token.encode()).hexdigest()


def invitation_url(nonce: str) -> str:
    """Return the link for the email."""
    path = reverse("invitations:accept", args=[token_for(nonce)])
    return f"{settings.FRONTEND_URL}{path}"
