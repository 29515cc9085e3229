"""How the database goes about a query that a test has seen."""

from django.db import connection

EXPLAIN = {"postgresql": "EXPLAIN", "sqlite": "EXPLAIN QUERY PLAN"}


def plan_of(query: dict[str, str]) -> str:
    """Return the plan for a query as `CaptureQueriesContext` keeps it."""
    with connection.cursor() as cursor:
        cursor.execute(f"{EXPLAIN[connection.vendor]} {query['sql']}")
        return str(cursor.fetchall())
