"""Tells who waits how far a job is. The page reads the row, so nothing depends on it."""

import structlog
from redis.exceptions import RedisError

from apps.reports.models import Report, Upload
from apps.tasks.progress import save_progress

logger = structlog.get_logger(__name__)


def tell(job: Upload | Report, message: str) -> None:
    """Tell who waits for a job how far it is; without Redis, they see it a little later."""
    try:
        save_progress(str(job.pk), *job.measure(), message, user_id=job.user_id)
    except RedisError as error:
        logger.info("progress_not_told", job=str(job.pk), error=str(error))
