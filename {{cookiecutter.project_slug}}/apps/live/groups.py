"""Who hears what: one group of sockets per user, and one of the staff."""

from apps.users.models import User


def group_of(user_id: int) -> str:
    """Return the name of the group that all open pages of a user belong to."""
    return f"user.{user_id}"


def group_of_staff() -> str:
    """Return the name of the group that all open pages of all staff belong to."""
    return "staff"


def groups_for(user: User) -> list[str]:
    """Return the names of all groups that a page of this user belongs to."""
    return [group_of(user.pk), *([group_of_staff()] if user.is_staff else [])]
