"""Inserts new mails: each key once, and none for a suppressed address."""

from collections.abc import Sequence

from django.db import IntegrityError, transaction

from durable.mail.models import ADDRESS_SUPPRESSED, Email, EmailEvent, Suppression


def enqueue(emails: Sequence[Email]) -> list[Email]:
    """Insert new mails in the current transaction; those to a suppressed address are SUPPRESSED.

    Returns:
        the inserted ones. A mail whose key has a row already is left out.
    """
    suppressed = Suppression.objects.among(email.address for email in emails)
    for email in emails:
        if email.address in suppressed:
            email.status = Email.Status.SUPPRESSED
    inserted = insert(emails)
    EmailEvent.objects.bulk_create(
        EmailEvent(email=email, kind=EmailEvent.Kind.SUPPRESSED, detail=ADDRESS_SUPPRESSED)
        for email in inserted
        if email.status == Email.Status.SUPPRESSED
    )
    return inserted


def insert(emails: Sequence[Email]) -> list[Email]:
    """Insert mails, without those whose key has a row already; return the inserted ones."""
    new = without_known_keys(emails)
    has_keys = any(email.key is not None for email in new)
    try:
        with transaction.atomic(savepoint=has_keys):
            # In one order, or two transactions with the same keys could wait for each other.
            return Email.objects.bulk_create(sorted(new, key=lambda email: email.key or ""))
    except IntegrityError:
        rest = without_known_keys(new)
        if len(rest) == len(new):
            raise
        return insert(rest)  # another transaction has inserted some of the keys since


def without_known_keys(emails: Sequence[Email]) -> list[Email]:
    """Return the mails whose key has no row; of several with the same key, the first."""
    keys = {email.key for email in emails if email.key is not None}
    known = set(Email.objects.filter(key__in=keys).values_list("key", flat=True)) if keys else set()
    new = []
    for email in emails:
        if email.key is None:
            new.append(email)
        elif email.key not in known:
            new.append(email)
            known.add(email.key)
    return new
