"""Turns a row into the message that goes out: subject, text and HTML from its three templates."""

from dataclasses import dataclass
from email.utils import parseaddr

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import get_template, render_to_string

from durable.mail.models import Email


@dataclass(frozen=True)
class Content:
    """What a person reads of a mail."""

    subject: str
    text: str
    html: str


def check_templates(template: str) -> None:
    """Raise TemplateDoesNotExist unless the three files of `template` are there."""
    for ending in ("subject.txt", "txt", "html"):
        get_template(f"mail/{template}.{ending}")


def render(email: Email, *, hide_secrets: bool = False) -> Content:
    """Render the mail's templates with its context.

    Args:
        email: the row.
        hide_secrets: for whoever is not the recipient. Templates that make a secret, such as a
            link that lets in who has it, leave it out where this is set.
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
    """Return the same Message-ID for every attempt, so that duplicates can be told as such."""
    domain = parseaddr(email.from_email or settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]
    return f"<{email.pk}@{domain}>"


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
