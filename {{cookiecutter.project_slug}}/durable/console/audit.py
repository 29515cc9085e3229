"""Records who did what in the console."""

from typing import Any

from durable.console.models import AuditEntry


def record(user: Any, action: str, kind: str, **values: Any) -> AuditEntry:
    """Write an entry, and return it; call it in the transaction of the action.

    Args:
        user: who acts.
        action: one of `AuditEntry.Action`.
        kind: of the target.
        values: the entry's `target`, `count` and `detail`.
    """
    name = str(user)[: AuditEntry._meta.get_field("user_text").max_length]
    return AuditEntry.objects.create(user=user, user_text=name, action=action, kind=kind, **values)
