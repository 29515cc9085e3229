"""Production's settings, with seconds where production has minutes."""

from datetime import UTC, datetime, timedelta

import time_machine
from celery.schedules import crontab

from config.settings.env import env
from config.settings.production import *

LEDGER_URL = env.str("LEDGER_URL")  # the Redis that counts, and that nobody harms

if ahead := env.int("CLOCK_AHEAD", default=0):  # minutes
    # Every clock of this process and its children but the monotonic one.
    time_machine.travel(datetime.now(UTC) + timedelta(minutes=ahead), tick=True).start()

EMAIL_LEASE = timedelta(seconds=5)  # longer than EMAIL_TIMEOUT, which is 2 s here
EMAIL_RETRY_INITIAL_DELAY = timedelta(seconds=1)
EMAIL_RETRY_MAX_DELAY = timedelta(seconds=4)
EMAIL_RETRY_MARGIN = timedelta(seconds=0.1)  # one machine, one clock

# Celery takes the first annotation that fits. It misses the end of some pool processes until it looks
# for them, every 5 s; a limit that is shorter would take the task of such a process for one that takes too long.
CELERY_TASK_ANNOTATIONS = (
    {"chaos.durable": {"soft_time_limit": 6, "time_limit": 7}},  # seconds
    *CELERY_TASK_ANNOTATIONS,
)
TASK_LEASE_MARGIN = timedelta(seconds=1)
TASK_RETRY_MAX_DELAY = 4  # seconds
TASK_RETRY_MARGIN = timedelta(seconds=0.1)

# The visibility time-out below is shorter than the limits of most tasks: the load keeps within it.
SILENCED_SYSTEM_CHECKS = [*SILENCED_SYSTEM_CHECKS, "tasks.E004"]

CELERY_IMPORTS = ["chaos_tasks"]  # by Beat, too
CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"] = 6  # seconds; longer than any retry waits
BROKER_CIRCUIT_RESET = timedelta(seconds=1)
CELERY_BEAT_MAX_LOOP_INTERVAL = 1  # second
BEAT_LEASE = timedelta(seconds=3)
BEAT_FOLLOWER_INTERVAL = 0.5  # seconds
SWEEP = {"schedule": 2.0, "options": {"expire_seconds": 10}}  # seconds
CELERY_BEAT_SCHEDULE["requeue stuck emails"] |= SWEEP
CELERY_BEAT_SCHEDULE["requeue stuck runs"] |= SWEEP
# Twelve hours from now, so it is never due by itself.
CELERY_BEAT_SCHEDULE["daily"] = {
    "task": "chaos.daily",
    "schedule": crontab(hour=str((datetime.now(UTC).hour + 12) % 24), minute="0"),
}
