from django.apps import AppConfig


class OrdersConfig(AppConfig):
    name = "apps.orders"
    verbose_name = "Orders"
    home = "orders:list"
    summary = "Orders in three steps, charged exactly once even if a worker crashes."
