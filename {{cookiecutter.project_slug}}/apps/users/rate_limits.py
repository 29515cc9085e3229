"""Limits how often a user or a client starts work: each hour has its counter in the cache."""

import structlog
from django.core.cache import cache
from redis.exceptions import RedisError

logger = structlog.get_logger(__name__)

HOUR = 3600  # seconds


def within_rate_limit(action: str, caller: object, limit: int) -> bool:
    """Count an action; return whether the caller is within the limit.

    There is no limit while the cache is down: too much work is better than lost requests.

    Args:
        action: what is limited, such as `contact`.
        caller: a user's primary key, or a client's address.
        limit: actions per hour, from the first one on.
    """
    key = f"{action}:{caller}"
    try:
        cache.add(key, 0, HOUR)
        return cache.incr(key) <= limit
    except (RedisError, ValueError) as error:  # ValueError: the key expired between the two lines
        logger.warning("rate_limit_disabled", action=action, error=str(error))
        return True
