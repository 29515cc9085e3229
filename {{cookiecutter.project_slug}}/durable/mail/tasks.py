"""The tasks of mail. They carry only ids, so no content passes through the broker."""

from typing import Any

import structlog
from celery import shared_task
from celery.exceptions import TimeLimitExceeded
from django.db.models.functions import Now

from durable.conf import conf
from durable.db import close_connections
from durable.errors import DATABASE_ERRORS
from durable.mail import delivery
from durable.mail.models import Email
from durable.requeue import publish_all, purge, requeue
from durable.tasks.base import Task
from durable.tasks.enqueue import queue_for
from durable.tasks.pausing import paused_queues

logger = structlog.get_logger(__name__)


class DeliveryTask(Task):
    """A task whose hard limit does not count as a crash of the worker."""

    def on_failure(self, exc: Exception, task_id: str, args: Any, kwargs: Any, einfo: Any) -> None:
        """Queue the mail again if its time was up."""
        super().on_failure(exc, task_id, args, kwargs, einfo)
        if not isinstance(exc, TimeLimitExceeded):
            return
        try:
            delivery.end_timed_out_attempt(args[0], exc)
        except DATABASE_ERRORS as error:  # it is claimed again, as a crash, when its lease ends
            logger.warning("email_outcome_not_written", email_id=args[0], error=str(error))
        finally:
            close_connections()


@shared_task(
    base=DeliveryTask,
    name="mail.deliver_email",
    bind=True,
    max_retries=None,
    no_replay='the mail itself has failed: use "Resend" on its page',
)
def deliver_email(self: Task, email_id: str) -> None:
    """Deliver one mail; after a temporary error, try again later."""
    delay = delivery.deliver(email_id)
    if delay is not None:
        raise self.retry(countdown=(delay + conf.EMAIL_RETRY_MARGIN).total_seconds())


@shared_task(base=Task, name="mail.deliver_batch")
def deliver_batch(email_ids: list[str]) -> None:
    """Publish the delivery of many mails, so that the request that queued them published one message."""
    publish_all(email_ids, publish)


@shared_task(base=Task, name="mail.requeue_stuck_emails", autoretry_for=(), runs_in_beat=True)
def requeue_stuck_emails() -> int:
    """Publish due mails that no worker has: their message was lost, or never sent."""
    queues = {queue_for(deliver_email.name)} - paused_queues()
    return requeue({queue: Email.objects.due().only("pk") for queue in queues}, publish)


def publish(email: Email | str, producer: Any) -> None:
    """Publish the delivery of one mail, or of its id, with an open producer."""
    email_id = str(getattr(email, "pk", email))
    deliver_email.apply_async((email_id,), producer=producer)


@shared_task(base=Task, name="mail.purge_old_emails")
def purge_old_emails() -> int:
    """Delete mails that finished longer than EMAIL_RETENTION ago, with everything that belongs to them."""
    finished = Email.objects.exclude(status__in=Email.UNFINISHED)
    return purge(finished.filter(queued_at__lt=Now() - conf.EMAIL_RETENTION).order_by("queued_at"))
