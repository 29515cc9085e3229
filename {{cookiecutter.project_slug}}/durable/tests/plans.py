"""How the database goes about a query that a test has seen."""

from collections.abc import Iterable

from django.db import connection

EXPLAIN = {"postgresql": "EXPLAIN", "sqlite": "EXPLAIN QUERY PLAN"}


def plan_of(query: dict[str, str]) -> str:
    """Return the plan for a query as `CaptureQueriesContext` keeps it."""
    with connection.cursor() as cursor:
        cursor.execute(f"{EXPLAIN[connection.vendor]} {query['sql']}")
        return str(cursor.fetchall())


def without_end(queries: Iterable[dict[str, str]]) -> list[str]:
    """Return those of the queries that read more, the more rows a table has: they count, or compare, all."""
    statements = [query["sql"] for query in queries]
    counts = [sql for sql in statements if "COUNT(*)" in sql and "LIMIT" not in sql]
    return counts + [sql for sql in statements if "SELECT DISTINCT" in sql]
