"""The engine: durable mail and tasks on Django and Celery. README.md describes it."""

__version__ = "0.1.0"  # of the template that this engine comes from
