"""Who hears what: one group of sockets per user."""

from django.contrib.auth.base_user import AbstractBaseUser


def group_of(user: AbstractBaseUser) -> str:
    """Return the name of the group that all open pages of a user belong to."""
    return f"user.{user.pk}"
