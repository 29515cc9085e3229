"""Sentry: errors are reported if a DSN is set, without secrets."""

from typing import Any

from django.apps import apps

from config.settings.env import env


def without_secrets(event: Any, _hint: object = None) -> Any:
    """Return an event with each match of an AppConfig's `secret` pattern replaced by "hidden"."""
    if isinstance(event, dict):
        return {key: without_secrets(value) for key, value in event.items()}
    if isinstance(event, list | tuple):
        return [without_secrets(value) for value in event]
    if isinstance(event, str):
        for app in apps.app_configs.values():  # those loaded so far
            if secret := getattr(app, "secret", None):
                event = secret.sub("hidden", event)
    return event


SENTRY_OPTIONS: dict[str, Any] = {
    "environment": env.str("SENTRY_ENVIRONMENT", default="production"),
    "traces_sample_rate": env.float("SENTRY_TRACES_SAMPLE_RATE", default=0.0),
    # Forms and local variables hold passwords under names that Sentry does not recognize.
    "max_request_body_size": "never",
    "include_local_variables": False,
    "before_send": without_secrets,
    "before_send_transaction": without_secrets,
}

if SENTRY_DSN := env.str("SENTRY_DSN", default=""):
    import sentry_sdk
    from sentry_sdk.integrations.celery import CeleryIntegration

    sentry_sdk.init(
        dsn=SENTRY_DSN,
        integrations=[
            # Each other entry of the schedule is a cron monitor. Sentry accepts no entry that runs more
            # often than once a minute.
            CeleryIntegration(monitor_beat_tasks=True, exclude_beat_tasks=["^heartbeat$"])
        ],
        **SENTRY_OPTIONS,
    )
