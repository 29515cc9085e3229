"""The tasks of mail. They carry ids only, so nothing sensitive passes through the broker."""

from collections.abc import Iterable

import structlog
from celery import current_app, shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db.models.functions import Now
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from apps.mail import delivery
from apps.mail.models import Email
from apps.tasks.base import Task
from apps.tasks.circuit import circuit
from apps.tasks.health import queue_lengths

logger = structlog.get_logger(__name__)

# Rows. About two seconds of publishing, and what the queue may hold twice at the most.
REQUEUED_AT_ONCE = 10_000
PURGED_AT_ONCE = 1_000  # rows; one short transaction each


@shared_task(base=Task, name="mail.deliver_email", bind=True, max_retries=None)
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
    ring_for(email_ids)


@shared_task(base=Task, name="mail.requeue_stuck_emails")
def requeue_stuck_emails() -> int:
    """Ring for mails that are due and that nobody has: their message was lost, or never sent.

    As long as the queue holds many messages, none is added: the mails that wait have theirs in
    there, and each run would add another.
    """
    queue = deliver_email.app.amqp.router.route({}, deliver_email.name)["queue"].name
    if queue_lengths()[queue] >= REQUEUED_AT_ONCE:
        logger.warning("requeue_put_off", queue=queue, reason="the queue is long")
        return 0
    due = Email.objects.due().order_by("next_attempt_at").values_list("pk", flat=True)
    rung = ring_for(str(pk) for pk in due[:REQUEUED_AT_ONCE])
    if rung:
        logger.warning("emails_requeued", count=rung)
    return rung


@shared_task(base=Task, name="mail.purge_old_emails")
def purge_old_emails() -> int:
    """Delete mails whose story ended longer than EMAIL_RETENTION ago, with all that hangs on them."""
    ended = Email.objects.exclude(status__in=Email.UNDER_WAY)
    old = ended.filter(queued_at__lt=Now() - settings.EMAIL_RETENTION).order_by("queued_at")
    deleted = 0
    try:
        while pks := list(old.values_list("pk", flat=True)[:PURGED_AT_ONCE]):
            Email.objects.filter(pk__in=pks).delete()
            deleted += len(pks)
    except SoftTimeLimitExceeded:
        logger.info("purge_goes_on_tomorrow", deleted=deleted)
    return deleted


def ring_for(email_ids: Iterable[str]) -> int:
    """Publish a delivery for each id over one connection, many in one round trip."""
    rung = 0
    try:
        with (
            circuit.publishing(),
            current_app.producer_or_acquire() as producer,
            producer.batch(),
        ):
            for email_id in email_ids:
                deliver_email.apply_async((email_id,), producer=producer)
                rung += 1
    except (OperationalError, RedisError) as error:
        logger.warning("broker_unreachable", task=deliver_email.name, error=str(error))
        return 0
    return rung
