"""Email: the provider, retries, and retention."""

from datetime import timedelta
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config.queues import EMAIL_TIMEOUT, route_of
from config.settings.env import env

# The names are django-anymail's.
EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
EMAIL_WEBHOOK: str | None = None  # the view that receives the provider's reports
ANYMAIL: dict[str, Any] = {}
# % if cookiecutter.email_provider == "amazon_ses"
EMAIL_BACKEND = "durable.mail.providers.amazon_ses.AmazonSESBackend"
EMAIL_WEBHOOK = "durable.mail.providers.amazon_ses.AmazonSESWebhookView"
# boto3 finds the credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or an IAM role.
ANYMAIL = {
    "AMAZON_SES_CLIENT_PARAMS": {
        "region_name": env.of_provider("AWS_DEFAULT_REGION"),
        "config": {
            "connect_timeout": EMAIL_TIMEOUT,
            "read_timeout": EMAIL_TIMEOUT,
            "retries": {"total_max_attempts": 1},  # the mail's row counts attempts and retries
        },
    },
    "WEBHOOK_SECRET": env.of_provider("WEBHOOK_SECRET"),
}
# % endif
# % if cookiecutter.email_provider == "brevo"
EMAIL_BACKEND = "durable.mail.providers.brevo.BrevoBackend"
EMAIL_WEBHOOK = "durable.mail.providers.brevo.BrevoWebhookView"
ANYMAIL = {
    "BREVO_API_KEY": env.of_provider("BREVO_API_KEY"),
    "WEBHOOK_SECRET": env.of_provider("WEBHOOK_SECRET"),
}
# % endif
# % if cookiecutter.email_provider == "mailersend"
EMAIL_BACKEND = "durable.mail.providers.mailersend.MailerSendBackend"
EMAIL_WEBHOOK = "durable.mail.providers.mailersend.MailerSendWebhookView"
ANYMAIL = {
    "MAILERSEND_API_TOKEN": env.of_provider("MAILERSEND_API_TOKEN"),
    "MAILERSEND_SIGNING_SECRET": env.of_provider("MAILERSEND_SIGNING_SECRET"),
}
# % endif
# % if cookiecutter.email_provider == "mailgun"
EMAIL_BACKEND = "anymail.backends.mailgun.EmailBackend"
EMAIL_WEBHOOK = "durable.mail.providers.mailgun.MailgunWebhookView"
ANYMAIL = {
    "MAILGUN_API_KEY": env.of_provider("MAILGUN_API_KEY"),
    "MAILGUN_API_URL": env.str("MAILGUN_API_URL", default="https://api.mailgun.net/v3"),
    "MAILGUN_WEBHOOK_SIGNING_KEY": env.of_provider("MAILGUN_WEBHOOK_SIGNING_KEY"),
}
# % endif
# % if cookiecutter.email_provider == "mailjet"
EMAIL_BACKEND = "durable.mail.providers.mailjet.MailjetBackend"
EMAIL_WEBHOOK = "durable.mail.providers.mailjet.MailjetWebhookView"
ANYMAIL = {
    "MAILJET_API_KEY": env.of_provider("MAILJET_API_KEY"),
    "MAILJET_SECRET_KEY": env.of_provider("MAILJET_SECRET_KEY"),
    "WEBHOOK_SECRET": env.of_provider("WEBHOOK_SECRET"),
}
# % endif
# % if cookiecutter.email_provider == "mailtrap"
EMAIL_BACKEND = "durable.mail.providers.mailtrap.MailtrapBackend"
EMAIL_WEBHOOK = "durable.mail.providers.mailtrap.MailtrapWebhookView"
ANYMAIL = {
    "MAILTRAP_API_TOKEN": env.of_provider("MAILTRAP_API_TOKEN"),
    "MAILTRAP_TRACKING_SECRET": env.of_provider("MAILTRAP_TRACKING_SECRET"),
}
# % endif
# % if cookiecutter.email_provider == "mandrill"
EMAIL_BACKEND = "durable.mail.providers.mandrill.MandrillBackend"
EMAIL_WEBHOOK = "durable.mail.providers.mandrill.MandrillWebhookView"
ANYMAIL = {
    "MANDRILL_API_KEY": env.of_provider("MANDRILL_API_KEY"),
    "MANDRILL_WEBHOOK_KEY": env.of_provider("MANDRILL_WEBHOOK_KEY"),
}
# % endif
# % if cookiecutter.email_provider == "postal"
EMAIL_BACKEND = "durable.mail.providers.postal.PostalBackend"
EMAIL_WEBHOOK = "durable.mail.providers.postal.PostalWebhookView"
ANYMAIL = {
    "POSTAL_API_URL": env.of_provider("POSTAL_API_URL"),
    "POSTAL_API_KEY": env.of_provider("POSTAL_API_KEY"),
    "POSTAL_WEBHOOK_KEY": env.of_provider("POSTAL_WEBHOOK_KEY"),
}
# % endif
# % if cookiecutter.email_provider == "postmark"
EMAIL_BACKEND = "durable.mail.providers.postmark.PostmarkBackend"
EMAIL_WEBHOOK = "durable.mail.providers.postmark.PostmarkWebhookView"
ANYMAIL = {
    "POSTMARK_SERVER_TOKEN": env.of_provider("POSTMARK_SERVER_TOKEN"),
    "WEBHOOK_SECRET": env.of_provider("WEBHOOK_SECRET"),
}
# % endif
# % if cookiecutter.email_provider == "resend"
EMAIL_BACKEND = "durable.mail.providers.resend.ResendBackend"
EMAIL_WEBHOOK = "durable.mail.providers.resend.ResendWebhookView"
ANYMAIL = {
    "RESEND_API_KEY": env.of_provider("RESEND_API_KEY"),
    "RESEND_SIGNING_SECRET": env.of_provider("RESEND_SIGNING_SECRET"),
}
# % endif
# % if cookiecutter.email_provider == "scaleway"
EMAIL_BACKEND = "durable.mail.providers.scaleway.ScalewayBackend"
ANYMAIL = {
    "SCALEWAY_SECRET_KEY": env.of_provider("SCALEWAY_SECRET_KEY"),
    "SCALEWAY_PROJECT_ID": env.of_provider("SCALEWAY_PROJECT_ID"),
    "SCALEWAY_REGION": env.str("SCALEWAY_REGION", default="fr-par"),
}
# % endif
# % if cookiecutter.email_provider == "sendgrid"
EMAIL_BACKEND = "durable.mail.providers.sendgrid.SendGridBackend"
EMAIL_WEBHOOK = "durable.mail.providers.sendgrid.SendGridWebhookView"
ANYMAIL = {
    "SENDGRID_API_KEY": env.of_provider("SENDGRID_API_KEY"),
    "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY": env.of_provider(
        "SENDGRID_TRACKING_WEBHOOK_VERIFICATION_KEY"
    ),
}
# % endif
# % if cookiecutter.email_provider == "sparkpost"
EMAIL_BACKEND = "durable.mail.providers.sparkpost.SparkPostBackend"
EMAIL_WEBHOOK = "durable.mail.providers.sparkpost.SparkPostWebhookView"
ANYMAIL = {
    "SPARKPOST_API_KEY": env.of_provider("SPARKPOST_API_KEY"),
    "SPARKPOST_API_URL": env.str("SPARKPOST_API_URL", default="https://api.sparkpost.com/api/v1/"),
    "WEBHOOK_SECRET": env.of_provider("WEBHOOK_SECRET"),
}
# % endif
# % if cookiecutter.email_provider == "unisender_go"
EMAIL_BACKEND = "durable.mail.providers.unisender_go.UnisenderGoBackend"
EMAIL_WEBHOOK = "durable.mail.providers.unisender_go.UnisenderGoWebhookView"
ANYMAIL = {
    "UNISENDER_GO_API_KEY": env.of_provider("UNISENDER_GO_API_KEY"),
    "UNISENDER_GO_API_URL": env.str(
        "UNISENDER_GO_API_URL", default="https://go1.unisender.ru/ru/transactional/api/v1/"
    ),
}
# % endif
ANYMAIL |= {"REQUESTS_TIMEOUT": EMAIL_TIMEOUT}

# smtp://user:password@host:25, smtp+tls://…:587 (STARTTLS), smtp+ssl://…:465
# It overrides the provider, as in development.
EMAIL_URL = env.str("EMAIL_URL", default="")
if EMAIL_URL:
    vars().update(env.email_url("EMAIL_URL"))
EMAIL_BACKEND = env.str("EMAIL_BACKEND", default=EMAIL_BACKEND)
if not EMAIL_URL and EMAIL_BACKEND == "django.core.mail.backends.smtp.EmailBackend":
    raise ImproperlyConfigured(
        "EMAIL_URL is missing or empty: set it to your SMTP server, "
        "as in smtp+tls://user:password@smtp.example.com:587"
    )

DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="noreply@{{ cookiecutter.domain_name }}")
# Recipients and sender of the emails about problems of the service.
ADMINS = [("", address) for address in env.comma_separated("ADMINS")]
SERVER_EMAIL = env.str("SERVER_EMAIL", default=DEFAULT_FROM_EMAIL)

# The engine's settings. durable/conf.py has the others, with their defaults and reasons.
# A lease outlasts the slowest delivery that can succeed: the task's hard limit, and one time-out of
# the provider.
EMAIL_LEASE = timedelta(seconds=route_of("mail.deliver_email").hard_limit + EMAIL_TIMEOUT)
EMAIL_MAX_ATTEMPTS = env.int("EMAIL_MAX_ATTEMPTS", default=50)  # with growing delays, five hours
EMAIL_RETENTION = timedelta(days=env.int("EMAIL_RETENTION_DAYS", default=90))
# Most servers reject more than 25 MB, and base64 adds a third.
EMAIL_MAX_ATTACHMENTS_SIZE = 18_000_000  # bytes, all attachments of one mail together
