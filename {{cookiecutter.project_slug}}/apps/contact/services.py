"""Saves messages. A message, its emails and its notifications are rows of one transaction.

After the commit, the engine sends the emails and retries until they arrive.
"""

from django.db import transaction
from django.db.models import QuerySet
from django.urls import reverse

from apps.contact.models import Submission
from apps.notifications.services import announce_to_staff, notify
from apps.users.models import User
from durable.api import send_email, send_emails

MAX_PER_HOUR = 5  # messages of one client: more than a person writes


def submit(*, name: str, email: str, subject: str, message: str) -> Submission:
    """Save a message, confirm it to the sender and notify the staff.

    Raises:
        ValueError: `email` or an address of the staff cannot receive email; nothing is saved.
    """
    with transaction.atomic():
        submission = Submission.objects.create(
            name=name, email=email, subject=subject, message=message
        )
        queue_emails(submission)
        notify_staff(submission)
    return submission


def active_staff() -> QuerySet[User]:
    return User.objects.filter(is_staff=True, is_active=True)


def queue_emails(submission: Submission) -> None:
    """Queue the confirmation and the notices. Their keys make a second call harmless."""
    key = f"contact-{submission.pk}"
    # Visitors can enter the address of another person. The confirmation contains neither name nor
    # message, or it could send any text to any address. (`subject` is the email's own.)
    send_email(
        "contact_confirmation",
        submission.email,
        {"about": submission.subject},
        key=f"{key}-confirmation",
        related=submission,
        headers={"Auto-Submitted": "auto-replied"},  # RFC 3834: stops automatic replies
    )
    notice = {
        "submission_id": submission.pk,
        "name": submission.name,
        "email": submission.email,
        "about": submission.subject,
        "message": submission.message,
    }
    # One message to the broker, regardless of the number of recipients.
    send_emails(
        "contact_notice",
        [(user.email, notice, f"{key}-notice-{user.pk}") for user in active_staff()],
    )


def notify_staff(submission: Submission) -> None:
    """Notify each of the staff, and show an announcement to those with an open page."""
    page = reverse("admin:contact_submission_change", args=[submission.pk])
    for user in active_staff():
        notify(
            user,
            "contact",
            f"Contact: {submission.subject}",
            f"{submission.name} sent a message.",
            url=page,
        )
    announce_to_staff(f"A new message: {submission.subject}", page)
