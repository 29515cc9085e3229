"""Renders a row into a message: subject, text and HTML from its three templates."""

from dataclasses import dataclass

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from durable.mail.addresses import ascii_domain
from durable.mail.models import Email


@dataclass(frozen=True)
class Content:
    """What the recipient reads."""

    subject: str
    text: str
    html: str


def render(email: Email, *, hide_secrets: bool = False) -> Content:
    """Render the mail's templates with its context.

    Args:
        email: the row.
        hide_secrets: True for readers other than the recipient. Templates that make a secret, such
            as a link that signs in, leave it out then.
    """
    context = {
        "frontend_url": settings.FRONTEND_URL,
        "service_name": settings.SERVICE_NAME,
        **email.context,
        "hide_secrets": hide_secrets,
    }
    subject = render_to_string(f"mail/{email.template}.subject.txt", context)
    context["subject"] = " ".join(subject.split())
    return Content(
        subject=context["subject"],
        text=render_to_string(f"mail/{email.template}.txt", context),
        html=render_to_string(f"mail/{email.template}.html", context),
    )


def message_id(email: Email) -> str:
    """Return the Message-ID, which is the same for every attempt, so that duplicates can be found."""
    return f"<{email.pk}@{ascii_domain(email.from_email or settings.DEFAULT_FROM_EMAIL)}>"


def build(email: Email) -> EmailMultiAlternatives:
    """Return the message, ready to be sent."""
    content = render(email)
    message = EmailMultiAlternatives(
        subject=content.subject,
        body=content.text,
        from_email=email.from_email or None,
        to=[email.to],
        reply_to=email.reply_to,
        headers={"Message-ID": message_id(email), **email.headers},
    )
    message.attach_alternative(content.html, "text/html")
    for attachment in email.attachments.all():
        message.attach(attachment.name, bytes(attachment.content), attachment.content_type)
    return message
