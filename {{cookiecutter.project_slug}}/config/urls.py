"""URLs. `HealthMiddleware` answers /health/live and /health/ready before they are resolved, `MetricsMiddleware` /metrics."""

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path
from django.utils.module_loading import import_string

from apps.pages.views import home, icon
from apps.users.views import LoginView

admin.site.site_header = admin.site.site_title = settings.SERVICE_NAME

urlpatterns = [
    path("", home, name="home"),
    path("favicon.ico", icon),
    path("accounts/login/", LoginView.as_view(), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("notifications/", include("apps.notifications.urls")),
    path("tasks/", include("durable.tasks.urls")),
    path("console/", include("durable.console.urls")),
    # % if cookiecutter.use_examples
    path("bookings/", include("apps.bookings.urls")),
    path("contact/", include("apps.contact.urls")),
    path("invitations/", include("apps.invitations.urls")),
    path("orders/", include("apps.orders.urls")),
    path("reports/", include("apps.reports.urls")),
    # % endif
    path("admin/", admin.site.urls),
]

if settings.EMAIL_WEBHOOK:
    report = import_string(settings.EMAIL_WEBHOOK).as_view()
    webhooks = [path("tracking/", report, name="email_webhook")]
    urlpatterns.append(path("webhooks/email/", include(webhooks)))
