import logging

from django.apps import AppConfig

from apps.live.log_filters import OncePerOutage


class LiveConfig(AppConfig):
    name = "apps.live"

    def ready(self) -> None:
        from apps.live import receivers  # noqa: F401, PLC0415 - needs loaded models

        # During an outage, the layer reads again every second and each page reconnects every half
        # minute: all of them would log the same error.
        for name in ("channels_redis.pubsub", "apps.live.consumers"):
            logging.getLogger(name).addFilter(OncePerOutage())
