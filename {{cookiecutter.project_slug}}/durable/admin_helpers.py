"""Admin lists of large tables."""

from contextlib import suppress

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

MAX_COUNTED = 10_000  # rows, 100 pages; counting more would read the whole table


class BoundedPaginator(Paginator):
    """Counts at most MAX_COUNTED rows, and ends the list there.

    Use a filter or a search to find later rows. An action on all rows found still acts on all of them.
    """

    object_list: QuerySet

    @cached_property
    def count(self) -> int:
        return self.object_list.order_by()[:MAX_COUNTED].count()


class LargeTableAdmin(admin.ModelAdmin):
    """The admin of a model with too many rows to read for one page.

    Do not use `date_hierarchy`, nor a filter by a field without choices: both read the whole table.
    """

    exact_search_fields: tuple[str, ...] = ()  # each with an index; tried before `search_fields`
    paginator = BoundedPaginator
    show_full_result_count = False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        """Search for a field that equals the term; read the table for a part of one only if none does."""
        whole = search_term.strip()
        for field in self.exact_search_fields if whole else ():
            with suppress(ValidationError):  # it is no UUID
                found = queryset.filter(**{field: whole})
                if found.exists():
                    return found, False
        return super().get_search_results(request, queryset, search_term)
