"""Periodic tasks. Beat copies them to the database when it starts.

If you remove an entry here, Beat removes it from the database. Rows created in the admin are left
alone. Set `expire_seconds`, so that messages do not pile up while no worker runs (`expires` has no
effect). A worker compares the time with its own clock, which may be wrong: use an hour or more. A
durable task accepts neither: each of its runs would be rejected.
"""

from typing import Any
from zoneinfo import ZoneInfo

from celery.schedules import crontab
from django_celery_beat.tzcrontab import TzAwareCrontab


def utc_crontab(**fields: str) -> TzAwareCrontab:
    """Return a `crontab` in UTC, regardless of CELERY_TIMEZONE."""
    return TzAwareCrontab(**fields, tz=ZoneInfo("UTC"))


SCHEDULE: dict[str, dict[str, Any]] = {
    # The home page and alerts check its age, so it must run more often than they expect.
    "heartbeat": {
        "task": "tasks.heartbeat",
        "schedule": 15.0,  # seconds
        "options": {"expire_seconds": 3600},
    },
    # A lost message delays a mail or a durable task by this much at most. Beat runs these three itself.
    "requeue stuck emails": {
        "task": "mail.requeue_stuck_emails",
        "schedule": 60.0,  # seconds
    },
    "requeue stuck runs": {
        "task": "tasks.requeue_stuck_runs",
        "schedule": 60.0,  # seconds
    },
    # A worker that missed the pause or the return of a queue follows within this time.
    "sync paused queues": {
        "task": "tasks.sync_paused_queues",
        "schedule": 60.0,  # seconds
    },
    # Reports problems to staff. Beat runs it itself; web also checks, with its requests.
    "check health": {
        "task": "health.check",
        "schedule": 60.0,  # seconds
    },
    "purge old runs": {
        "task": "tasks.purge_old_runs",
        "schedule": crontab(hour="3", minute="37"),
        "options": {"expire_seconds": 3600},
    },
    "purge old emails": {
        "task": "mail.purge_old_emails",
        "schedule": crontab(hour="3", minute="17"),
        "options": {"expire_seconds": 3600},
    },
    "purge old notifications": {
        "task": "notifications.purge_old_notifications",
        "schedule": crontab(hour="3", minute="57"),
        "options": {"expire_seconds": 3600},
    },
    "clean up expired sessions": {
        "task": "users.cleanup_sessions",
        "schedule": crontab(hour="4", minute="17"),
        "options": {"expire_seconds": 3600},
    },
    # % if cookiecutter.use_examples
    "send booking reminders": {
        "task": "bookings.send_reminders",
        "schedule": crontab(hour="9", minute="0"),
        "options": {"expire_seconds": 3600},  # the next day's run catches up
    },
    "clean up old contact submissions": {
        "task": "contact.cleanup_old_submissions",
        "schedule": crontab(hour="2", minute="0"),
        "options": {"expire_seconds": 3600},
    },
    "clean up expired invitations": {
        "task": "invitations.cleanup_expired_invitations",
        "schedule": utc_crontab(hour="2", minute="0"),
        "options": {"expire_seconds": 3600},
    },
    "send the weekly report": {
        "task": "reports.send_weekly_report",  # durable, so it never expires
        "schedule": crontab(day_of_week="mon", hour="8", minute="0"),
    },
    "purge old reports": {
        "task": "reports.purge_old",
        "schedule": 600.0,  # seconds; a file stays this long after its last possible download
        "options": {"expire_seconds": 3600},
    },
    # % endif
}
