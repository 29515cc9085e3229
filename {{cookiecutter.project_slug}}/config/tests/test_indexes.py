"""Each index serves a query, since every write pays for it. SQLite creates none by itself."""

import pytest
from django.apps import apps
from django.db import connection

# Indexes for LIKE, which no query uses, and indexes whose columns are the first ones of another index.
SPARE = """
    SELECT spare.indexrelid::regclass::text FROM pg_index spare
    WHERE spare.indrelid = ANY(%s::regclass[]) AND (
        pg_get_indexdef(spare.indexrelid) LIKE '%%_pattern_ops%%'
        OR spare.indpred IS NULL AND NOT spare.indisunique AND EXISTS (
            SELECT FROM pg_index other
            WHERE other.indrelid = spare.indrelid AND other.indexrelid <> spare.indexrelid
            AND other.indpred IS NULL AND other.indkey::text || ' ' LIKE spare.indkey::text || ' %%'
        )
    )
"""

if connection.vendor == "postgresql":

    @pytest.mark.django_db
    def test_every_index_serves_a_query():
        ours = [
            model
            for model in apps.get_models()
            if model.__module__.startswith(("apps.", "durable."))
        ]
        with connection.cursor() as cursor:
            cursor.execute(SPARE, [sorted({model._meta.db_table for model in ours})])
            assert cursor.fetchall() == []
