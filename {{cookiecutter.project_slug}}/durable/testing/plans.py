"""Query plans, to test that a query does not read a whole table."""

from collections.abc import Iterable

from django.db import connection

EXPLAIN = {"postgresql": "EXPLAIN", "sqlite": "EXPLAIN QUERY PLAN"}


def plan_of(query: dict[str, str]) -> str:
    """Return the database's plan for a query of `CaptureQueriesContext`."""
    with connection.cursor() as cursor:
        cursor.execute(f"{EXPLAIN[connection.vendor]} {query['sql']}")
        return str(cursor.fetchall())


def without_end(queries: Iterable[dict[str, str]]) -> list[str]:
    """Return the queries whose cost grows with the table: they count or compare all rows."""
    statements = [query["sql"] for query in queries]
    counts = [sql for sql in statements if "COUNT(*)" in sql and "LIMIT" not in sql]
    return counts + [sql for sql in statements if "SELECT DISTINCT" in sql]
