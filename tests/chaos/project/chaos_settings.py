"""Production's settings, with seconds where production has minutes."""

from datetime import timedelta

from config.settings.env import env
from config.settings.production import *

LEDGER_URL = env.str("LEDGER_URL")  # the Redis that counts, and that nobody harms

EMAIL_LEASE = timedelta(seconds=5)  # longer than EMAIL_TIMEOUT, which is 2 s here
EMAIL_RETRY_FIRST = timedelta(seconds=1)
EMAIL_RETRY_LONGEST = timedelta(seconds=4)
EMAIL_RETRY_MARGIN = timedelta(seconds=0.1)  # one machine, one clock

CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"] = 6  # seconds; longer than any retry waits
CELERY_BEAT_MAX_LOOP_INTERVAL = 1  # second
SWEEP = 3.0  # seconds; the workers get through SWEPT mails in about as long
CELERY_BEAT_SCHEDULE["requeue stuck emails"] |= {
    "schedule": SWEEP,
    "options": {"expire_seconds": 10},
}
