import logging

from django.apps import AppConfig

from apps.live.outages import OncePerOutage


class LiveConfig(AppConfig):
    name = "apps.live"

    def ready(self) -> None:
        from apps.live import receivers  # noqa: F401, PLC0415 - models have to be loaded

        # The layer tries to read again every second and each page to connect every half minute;
        # all of them fail for one reason.
        for name in ("channels_redis.pubsub", "apps.live.consumers"):
            logging.getLogger(name).addFilter(OncePerOutage())
