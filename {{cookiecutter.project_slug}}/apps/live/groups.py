"""Groups of sockets: one for each user, and one for the staff."""

from apps.users.models import User

STAFF = "staff"


def user_group(user_id: int) -> str:
    """Return the group of all open pages of a user."""
    return f"user.{user_id}"


def groups_for(user: User) -> list[str]:
    """Return the groups of a page of this user."""
    return [user_group(user.pk), *([STAFF] if user.is_staff else [])]
