"""Durable here: the message, its mails and notifications are rows of one transaction: all or none.

From the commit on, mail's own rows and sweeper see to it that each mail arrives.
"""

import structlog
from django.core.cache import cache
from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse
from redis.exceptions import RedisError

from apps.contact.models import Submission
from apps.notifications.services import announce_to_staff, notify
from apps.users.models import User
from durable.api import send_email, send_emails

logger = structlog.get_logger(__name__)

MOST_PER_HOUR = 5  # messages from one address: more than a person writes
HOUR = 3600  # seconds


def submit(*, name: str, email: str, subject: str, message: str) -> Submission:
    """Save a message, confirm it to its sender, and tell the staff.

    Raises:
        ValueError: no mail could go to `email`, or to one of the staff; then nothing is saved.
    """
    with transaction.atomic():
        submission = Submission.objects.create(
            name=name, email=email, subject=subject, message=message
        )
        queue_mails(submission)
        notify_staff(submission)
    return submission


def staff() -> QuerySet[User]:
    """Return who is told of a message."""
    return User.objects.filter(is_staff=True, is_active=True)


def queue_mails(submission: Submission) -> None:
    """Queue the confirmation and the notices; the keys make a second call harmless."""
    key = f"contact-{submission.pk}"
    # Anybody can enter anybody's address. A confirmation with the message or the name in it would
    # send a stranger's words to whomever the stranger likes. (`subject` is the mail's own.)
    send_email(
        "contact_confirmation",
        submission.email,
        {"about": submission.subject},
        key=f"{key}-confirmation",
        related=submission,
        headers={"Auto-Submitted": "auto-replied"},  # RFC 3834: no machine answers it
    )
    notice = {
        "submission_id": submission.pk,
        "name": submission.name,
        "email": submission.email,
        "about": submission.subject,
        "message": submission.message,
    }
    # One message to the broker, however many they are.
    send_emails(
        "contact_notice", [(user.email, notice, f"{key}-notice-{user.pk}") for user in staff()]
    )


def notify_staff(submission: Submission) -> None:
    """Ring the bells of the staff, and tell those who are there."""
    page = reverse("admin:contact_submission_change", args=[submission.pk])
    for user in staff():
        notify(
            user,
            "contact",
            f"Contact: {submission.subject}",
            f"{submission.name} wrote a message.",
            url=page,
        )
    announce_to_staff(f"A new message: {submission.subject}", page)


def may_submit(address: str) -> bool:
    """Count a message from a client's address; return whether it is within MOST_PER_HOUR.

    Without a cache nobody is held up: some spam is better than no messages.
    """
    key = f"contact:{address}"
    try:
        cache.add(key, 0, HOUR)
        return cache.incr(key) <= MOST_PER_HOUR
    except (RedisError, ValueError) as error:  # ValueError: the hour ended between the two lines
        logger.warning("contact_limit_off", error=str(error))
        return True
