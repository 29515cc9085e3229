"""How far a task is: written by the task, read by whoever waits for it."""

import time
from dataclasses import asdict, dataclass

import structlog
from django.core.cache import cache
from django.dispatch import Signal
from redis.exceptions import RedisError

logger = structlog.get_logger(__name__)

# A task has told how far it is. Arguments: `task_id`, `progress`, `user_id` (None: for nobody).
progressed = Signal()

KEPT_FOR = 24 * 3600  # seconds; as long as results


@dataclass(frozen=True)
class Progress:
    """How far a task is.

    Args:
        done, total: in whatever unit the task counts.
        message: what a person waiting should read.
        started_at: when the first report came, in seconds since 1970.
        reported_at: when this report came, in seconds since 1970.
    """

    done: int
    total: int
    message: str
    started_at: float
    reported_at: float

    @property
    def percent(self) -> int:
        """Share of the work that is done, 0 to 100."""
        if self.total <= 0:
            return 0
        return min(100, max(0, self.done * 100 // self.total))

    @property
    def seconds_left(self) -> float | None:
        """Time to the end at the pace so far, or None while there is no pace to tell."""
        if self.done <= 0 or self.total <= 0:
            return None
        pace = (self.reported_at - self.started_at) / self.done
        return max(0.0, pace * (self.total - self.done))


def save_progress(
    task_id: str, done: int, total: int, message: str = "", *, user_id: int | None = None
) -> None:
    """Remember how far the task `task_id` is, and tell who listens; without Redis, nobody is told.

    Args:
        task_id: of the task, or of whatever it works for.
        done, total: in whatever unit the task counts.
        message: what a person waiting should read.
        user_id: who waits for it.
    """
    now = time.time()
    try:
        before = get_progress(task_id)
        progress = Progress(done, total, message, before.started_at if before else now, now)
        cache.set(f"progress:{task_id}", asdict(progress), KEPT_FOR)
    except RedisError as error:
        logger.info("progress_not_told", task_id=task_id, error=str(error))
        return
    progressed.send_robust(sender=Progress, task_id=task_id, progress=progress, user_id=user_id)


def get_progress(task_id: str) -> Progress | None:
    """Return how far the task `task_id` is, or None if it has told nothing."""
    saved = cache.get(f"progress:{task_id}")
    return Progress(**saved) if saved else None
