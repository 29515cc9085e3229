"""Sales, uploads and reports in the admin."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from apps.reports.models import Report, Sale, Upload
from durable.api import LargeTableAdmin


class ReadOnlyAdmin(LargeTableAdmin):
    """Rows that only tasks write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Sale)
class SaleAdmin(ReadOnlyAdmin):
    list_display = ("external_id", "sold_on", "product", "quantity", "amount")
    search_fields = ("external_id__exact",)


@admin.register(Upload)
class UploadAdmin(ReadOnlyAdmin):
    list_display = ("name", "user", "state", "imported", "skipped", "bad", "created_at")
    list_filter = ("state", "created_at")
    list_select_related = ("user",)


@admin.register(Report)
class ReportAdmin(ReadOnlyAdmin):
    list_display = ("__str__", "user", "state", "created_at", "finished_at")
    list_filter = ("state", "created_at")
    list_select_related = ("user",)
