from django.apps import AppConfig


class ReportsConfig(AppConfig):
    name = "apps.reports"
    verbose_name = "Reports"
    home = "reports:list"
    summary = "Imports and reports that take minutes, with progress, cancel and safe restarts."
