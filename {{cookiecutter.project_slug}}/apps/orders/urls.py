"""Where the order pages are, below where config/urls.py puts them."""

from django.urls import path

from apps.orders.views import mine, order, products, steps

app_name = "orders"
urlpatterns = [
    path("", products, name="list"),
    path("mine/", mine, name="mine"),
    path("<uuid:pk>/", order, name="order"),
    path("<uuid:pk>/steps/", steps, name="steps"),
]
