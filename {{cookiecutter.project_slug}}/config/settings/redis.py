"""Redis: one database holds the broker, the cache and live messages, of this service and of others."""

from django.core.exceptions import ImproperlyConfigured

from config.settings.env import env

REDIS_URL = env.redis_url("REDIS_URL", default="redis://127.0.0.1:6379/0")
# Every key and every channel starts with it. Services and environments that share a Redis need
# different ones; otherwise one takes the messages of the other.
REDIS_PREFIX = env.str("REDIS_PREFIX", default="{{ cookiecutter.project_slug }}")
if set(REDIS_PREFIX) & set("*?[]\\"):
    raise ImproperlyConfigured(f"REDIS_PREFIX={REDIS_PREFIX}: use letters, digits, - and _")

CACHES = {
    "default": {
        "BACKEND": "durable.cache.RedisCache",
        "LOCATION": env.redis_url("CACHE_URL", default=REDIS_URL),
        "KEY_PREFIX": f"{REDIS_PREFIX}:cache",
        # Seconds. A page without its cache is better than a page that hangs. After a time-out, all
        # calls fail at once for BROKER_CIRCUIT_RESET.
        "OPTIONS": {"socket_connect_timeout": 0.5, "socket_timeout": 0.5},
    }
}
