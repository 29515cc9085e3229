"""Where the pages are."""

from django.conf import settings
from django.contrib import admin
from django.urls import path

from apps.pages.views import home

admin.site.site_header = admin.site.site_title = settings.SERVICE_NAME

urlpatterns = [
    path("", home, name="home"),
    path("admin/", admin.site.urls),
]
