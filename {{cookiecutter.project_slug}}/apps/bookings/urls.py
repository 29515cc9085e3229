"""URLs of the bookings; config/urls.py sets their prefix."""

from django.urls import path

from apps.bookings.views import booking, calendars, cancel, free_slots, mine, slot

app_name = "bookings"
urlpatterns = [
    path("", free_slots, name="list"),
    path("slots/<int:pk>/", slot, name="slot"),
    path("mine/", mine, name="mine"),
    path("calendars/", calendars, name="calendars"),
    path("<uuid:pk>/", booking, name="booking"),
    path("<uuid:pk>/cancel/", cancel, name="cancel"),
]
