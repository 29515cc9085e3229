"""Periodic tasks, declared in code; Beat copies them into the database when it starts.

An entry that is removed here disappears from the database too. A row that somebody made in
the admin is left alone. The option `expire_seconds` keeps ticks from piling up while no worker
runs; `expires` would do nothing. A durable task takes neither: it would be refused at each tick.
"""

from typing import Any
from zoneinfo import ZoneInfo

from celery.schedules import crontab
from django_celery_beat.tzcrontab import TzAwareCrontab


def utc_crontab(**fields: str) -> TzAwareCrontab:
    """Return a `crontab` whose hours are UTC, wherever the service is (CELERY_TIMEZONE)."""
    return TzAwareCrontab(**fields, tz=ZoneInfo("UTC"))


SCHEDULE: dict[str, dict[str, Any]] = {
    # The home page and the alarms look at its age, so it has to be younger than theirs.
    "heartbeat": {
        "task": "tasks.heartbeat",
        "schedule": 15.0,  # seconds
        "options": {"expire_seconds": 15},
    },
    # A lost doorbell delays a mail or a durable task by this much at most.
    "requeue stuck emails": {
        "task": "mail.requeue_stuck_emails",
        "schedule": 60.0,  # seconds
        # So that it runs also behind other work that takes minutes.
        "options": {"expire_seconds": 900},
    },
    "requeue stuck runs": {
        "task": "tasks.requeue_stuck_runs",
        "schedule": 60.0,  # seconds
        "options": {"expire_seconds": 900},
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
        "options": {"expire_seconds": 3600},  # tomorrow's run makes up for it
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
        "task": "reports.send_weekly_report",  # durable, so that it never expires
        "schedule": crontab(day_of_week="mon", hour="8", minute="0"),
    },
    "purge old reports": {
        "task": "reports.purge_old",
        "schedule": 600.0,  # seconds; a file is kept this much longer than it can be downloaded
        "options": {"expire_seconds": 600},
    },
    # % endif
}
