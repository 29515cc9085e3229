"""URLs of the orders; config/urls.py sets their prefix."""

from django.urls import path

from apps.orders.views import mine, order, products, steps

app_name = "orders"
urlpatterns = [
    path("", products, name="list"),
    path("mine/", mine, name="mine"),
    path("<uuid:pk>/", order, name="order"),
    path("<uuid:pk>/steps/", steps, name="steps"),
]
