"""URLs of imports and reports; config/urls.py sets their prefix."""

from django.urls import path

from apps.reports import views
from apps.reports.models import Report, Upload

app_name = "reports"
urlpatterns = [
    path("", views.jobs, name="list"),
    path("new/", views.new_report, name="new_report"),
    path("<uuid:pk>/", views.report, name="report"),
    path("<uuid:pk>/download/", views.download, name="download"),
    path("<uuid:pk>/cancel/", views.cancel, {"model": Report}, name="cancel_report"),
    path("imports/new/", views.new_upload, name="new_upload"),
    path("imports/<uuid:pk>/", views.upload, name="upload"),
    path("imports/<uuid:pk>/cancel/", views.cancel, {"model": Upload}, name="cancel_upload"),
]
