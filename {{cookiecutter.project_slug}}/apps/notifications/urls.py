"""Where the notifications are, below where config/urls.py puts them."""

from django.urls import path

from apps.notifications import views

app_name = "notifications"
urlpatterns = [
    path("", views.notification_list, name="list"),
    path("bell/", views.bell, name="bell"),
    path("read/", views.read_all, name="read_all"),
    path("<int:pk>/", views.read, name="read"),
]
