"""The public interface of the engine: `apps/` and `config/` import from here, and from nowhere else.

Only settings name classes of the engine by their path. Everything that is not listed here may change
with any update of the template.
"""

from durable import __version__
from durable.admin_helpers import LargeTableAdmin
from durable.broker.circuit import Circuit
from durable.console.changes import work_version
from durable.correlation import correlation_id
from durable.db import close_connections
from durable.errors import (
    BROKER_ERRORS,
    DATABASE_ERRORS,
    TRANSIENT_ERRORS,
    ArgumentsTooLargeError,
    PoisonTaskError,
    TaskFailedError,
)
from durable.health.signals import health_changed
from durable.health.status import Check, check_all
from durable.mail.addresses import bare_address, validate_address
from durable.mail.api import send_email, send_emails
from durable.mail.models import Email
from durable.requeue import purge
from durable.tasks.base import DurableTask, Task
from durable.tasks.enqueue import cancel, row_id
from durable.tasks.failures import replay
from durable.tasks.models import FailedTask, TaskRun
from durable.tasks.progress import Progress, get_progress, progressed, save_progress
from durable.tasks.results import get_state
from durable.text import clean_text

__all__ = [
    "BROKER_ERRORS",
    "DATABASE_ERRORS",
    "TRANSIENT_ERRORS",
    "ArgumentsTooLargeError",
    "Check",
    "Circuit",
    "DurableTask",
    "Email",
    "FailedTask",
    "LargeTableAdmin",
    "PoisonTaskError",
    "Progress",
    "Task",
    "TaskFailedError",
    "TaskRun",
    "__version__",
    "bare_address",
    "cancel",
    "check_all",
    "clean_text",
    "close_connections",
    "correlation_id",
    "get_progress",
    "get_state",
    "health_changed",
    "progressed",
    "purge",
    "replay",
    "row_id",
    "save_progress",
    "send_email",
    "send_emails",
    "validate_address",
    "work_version",
]
