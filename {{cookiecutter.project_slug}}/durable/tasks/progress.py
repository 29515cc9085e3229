"""Progress of a running task, for the people who wait for it."""

import time
from dataclasses import asdict, dataclass

import structlog
from django.core.cache import cache
from django.dispatch import Signal
from redis.exceptions import RedisError

logger = structlog.get_logger(__name__)

# A task has reported progress. Arguments: `task_id`, `progress`, `user_id` (None: no user waits).
progressed = Signal()

MAX_AGE = 24 * 3600  # seconds; as long as results


@dataclass(frozen=True)
class Progress:
    """A report of progress.

    Args:
        done, total: in any unit that the task counts in.
        message: for the person who waits.
        started_at: time of the first report, in seconds since 1970.
        reported_at: time of this report, in seconds since 1970.
    """

    done: int
    total: int
    message: str
    started_at: float
    reported_at: float

    @property
    def percent(self) -> int:
        """Percentage of the work that is done, 0 to 100."""
        if self.total <= 0:
            return 0
        return min(100, max(0, self.done * 100 // self.total))

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end at the speed so far, or None while that is unknown."""
        if self.done <= 0 or self.total <= 0:
            return None
        seconds_each = (self.reported_at - self.started_at) / self.done
        return max(0.0, seconds_each * (self.total - self.done))


def save_progress(
    task_id: str, done: int, total: int, message: str = "", *, user_id: int | None = None
) -> None:
    """Store the progress of a task and send `progressed`. Without Redis, log it and go on.

    Args:
        task_id: of the task, or any id of the work that it does.
        done, total: in any unit that the task counts in.
        message: for the person who waits.
        user_id: the user who waits.
    """
    now = time.time()
    try:
        before = get_progress(task_id)
        progress = Progress(done, total, message, before.started_at if before else now, now)
        cache.set(f"progress:{task_id}", asdict(progress), MAX_AGE)
    except RedisError as error:
        logger.info("progress_not_saved", task_id=task_id, error=str(error))
        return
    progressed.send_robust(sender=Progress, task_id=task_id, progress=progress, user_id=user_id)


def get_progress(task_id: str) -> Progress | None:
    """Return the progress of a task, or None if it is unknown: none was reported, or Redis is down."""
    try:
        saved = cache.get(f"progress:{task_id}")
        return Progress(
            done=int(saved["done"]),
            total=int(saved["total"]),
            message=str(saved["message"]),
            started_at=float(saved["started_at"]),
            reported_at=float(saved["reported_at"]),
        )
    except (RedisError, LookupError, TypeError, ValueError, OverflowError):
        return None
