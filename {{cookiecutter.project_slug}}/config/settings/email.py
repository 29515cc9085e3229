"""Email: who delivers, and how patient a delivery is."""

from datetime import timedelta

from config.queues import route_of
from config.settings.env import env

# % if cookiecutter.email_provider == "smtp"
# smtp://user:password@host:25, smtp+tls://…:587 (STARTTLS), smtp+ssl://…:465
smtp = env.email_url("EMAIL_URL")
vars().update(smtp)
EMAIL_BACKEND = env.str("EMAIL_BACKEND", default=smtp["EMAIL_BACKEND"])
# % endif

DEFAULT_FROM_EMAIL = env.str("DEFAULT_FROM_EMAIL", default="noreply@{{ cookiecutter.domain_name }}")
SERVER_EMAIL = env.str("SERVER_EMAIL", default="errors@{{ cookiecutter.domain_name }}")

EMAIL_TIMEOUT = env.int("EMAIL_TIMEOUT", default=10)  # seconds for one step of a conversation
ANYMAIL = {"REQUESTS_TIMEOUT": EMAIL_TIMEOUT}

# A row belongs to the worker that claimed it for this long. It outlives the slowest delivery
# that can still end well: the task's hard limit, and one time-out of the provider.
EMAIL_LEASE = timedelta(seconds=route_of("mail.deliver_email").hard_limit + EMAIL_TIMEOUT)
# Doubling from 5 s up to 600 s, with jitter, 50 attempts span five hours on average.
EMAIL_MAX_ATTEMPTS = env.int("EMAIL_MAX_ATTEMPTS", default=50)
EMAIL_RETRY_FIRST = timedelta(seconds=5)
EMAIL_RETRY_LONGEST = timedelta(seconds=600)
# A retry comes this much after its row is due, since a worker's clock may run ahead of the database's.
EMAIL_RETRY_MARGIN = timedelta(seconds=1)
EMAIL_RETENTION = timedelta(days=env.int("EMAIL_RETENTION_DAYS", default=90))
# Most servers refuse more than 25 MB, and base64 adds a third.
EMAIL_MAX_ATTACHMENTS_SIZE = 18_000_000  # bytes, all attachments of one mail together
