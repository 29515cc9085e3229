"""The tasks of mail. They carry ids only, so nothing sensitive passes through the broker."""

from typing import Any

import structlog
from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db.models.functions import Now

from durable.broker.queues import queue_lengths
from durable.leases import broker_may_be_away, ring_for
from durable.mail import delivery
from durable.mail.models import Email
from durable.tasks.base import Task

logger = structlog.get_logger(__name__)

PURGED_AT_ONCE = 1_000  # rows; one short transaction each


@shared_task(
    base=Task,
    name="mail.deliver_email",
    bind=True,
    max_retries=None,
    why_not_again='the mail itself has failed: use "Send again" on its page',
)
def deliver_email(self: Task, email_id: str) -> None:
    """Deliver one mail; after a temporary error, come back."""
    try:
        delivery.deliver(email_id)
    except delivery.Deferred as deferred:
        late = settings.EMAIL_RETRY_MARGIN.total_seconds()
        raise self.retry(countdown=deferred.seconds + late, exc=deferred) from deferred


@shared_task(base=Task, name="mail.deliver_batch")
def deliver_batch(email_ids: list[str]) -> None:
    """Ring for each of many mails, so that the request that queued them published one message."""
    ring_for(email_ids, ring)


@shared_task(base=Task, name="mail.requeue_stuck_emails", autoretry_for=())
def requeue_stuck_emails() -> int:
    """Ring for mails that are due and that nobody has: their message was lost, or never sent.

    Most of those that wait have theirs in the queue: there are no more rung for than are missing.
    """
    queue = deliver_email.app.amqp.router.route({}, deliver_email.name)["queue"].name
    rung = 0
    with broker_may_be_away():
        due = Email.objects.due().without_message(queue_lengths()[queue])
        rung = ring_for(map(str, due.values_list("pk", flat=True)), ring)
    if rung:
        logger.warning("emails_requeued", count=rung)
    return rung


def ring(email_id: str, producer: Any) -> None:
    """Publish the delivery of one mail with a producer that is open already."""
    deliver_email.apply_async((email_id,), producer=producer)


@shared_task(base=Task, name="mail.purge_old_emails")
def purge_old_emails() -> int:
    """Delete mails whose story ended longer than EMAIL_RETENTION ago, with all that hangs on them."""
    ended = Email.objects.exclude(status__in=Email.UNDER_WAY)
    old = ended.filter(queued_at__lt=Now() - settings.EMAIL_RETENTION).order_by("queued_at")
    deleted = 0
    try:
        while pks := list(old.values_list("pk", flat=True)[:PURGED_AT_ONCE]):
            Email.objects.filter(pk__in=pks).only("pk").delete()
            deleted += len(pks)
    except SoftTimeLimitExceeded:
        logger.info("purge_goes_on_tomorrow", deleted=deleted)
    return deleted
