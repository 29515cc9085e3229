"""Lists in the admin of tables that grow."""

from contextlib import suppress

from django.contrib import admin
from django.core.exceptions import ValidationError
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.functional import cached_property

MOST_COUNTED = 10_000  # rows, 100 pages: nobody turns more, and counting on reads the table


class BoundedPaginator(Paginator):
    """Counts MOST_COUNTED rows at the most.

    Where there are more, the list says that there are so many and ends with them; what comes later is
    found by a filter or a search. An action on all that were found is one on all of them nevertheless.
    """

    object_list: QuerySet

    @cached_property
    def count(self) -> int:
        return self.object_list.order_by()[:MOST_COUNTED].count()


class LargeTableAdmin(admin.ModelAdmin):
    """A model with so many rows that no look at its list may read them all.

    So no `date_hierarchy`, and no filter by a field without choices: both look for what there is.
    """

    exact_search_fields: tuple[str, ...] = ()  # each with an index; tried before `search_fields`
    paginator = BoundedPaginator
    show_full_result_count = False

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        """Find what has just this in a field; only if nothing has, read the table for a part of one."""
        whole = search_term.strip()
        for field in self.exact_search_fields if whole else ():
            with suppress(ValidationError):  # it is no UUID
                found = queryset.filter(**{field: whole})
                if found.exists():
                    return found, False
        return super().get_search_results(request, queryset, search_term)
