from django.apps import AppConfig


class OrdersConfig(AppConfig):
    name = "apps.orders"
    verbose_name = "Orders"
    home = "orders:list"
    summary = "Three steps that follow each other: whatever dies on the way, an order is paid once."
