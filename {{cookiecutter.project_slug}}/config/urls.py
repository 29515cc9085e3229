"""Where the pages are."""

from django.conf import settings
from django.contrib import admin
from django.urls import path
from django.utils.module_loading import import_string

from apps.pages.views import home

admin.site.site_header = admin.site.site_title = settings.SERVICE_NAME

urlpatterns = [
    path("", home, name="home"),
    path("admin/", admin.site.urls),
]

if settings.EMAIL_WEBHOOK:
    report = import_string(settings.EMAIL_WEBHOOK).as_view()
    urlpatterns.append(path("webhooks/email/tracking/", report, name="email_webhook"))
