"""URLs of tasks; config/urls.py sets their prefix."""

from django.urls import path

from durable.tasks import views

app_name = "tasks"
urlpatterns = [path("<uuid:pk>/", views.state, name="state")]
