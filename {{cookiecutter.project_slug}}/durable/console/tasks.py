"""The task that Celery finds in this app; see durable/console/bulk.py."""

from durable.console.bulk import work_through

__all__ = ["work_through"]
