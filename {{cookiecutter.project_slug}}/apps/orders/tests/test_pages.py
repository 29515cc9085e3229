import re
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from apps.orders import views
from apps.orders.forms import price_field, quantity_field
from apps.orders.models import Order, Product
from durable.api import TaskRun
from durable.testing.plans import plan_of, without_end

pytestmark = pytest.mark.django_db

PAGES = (
    "/orders/",
    "/orders/mine/",
    f"/orders/{uuid.UUID(int=0)}/",
    f"/orders/{uuid.UUID(int=0)}/steps/",
)


@pytest.fixture
def ann(client, customer):
    client.force_login(customer)
    return client


@pytest.fixture
def bob(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("bob@example.com"))
    return client


def send(client, bread, quantity, **changes):
    data = {"order_id": uuid.uuid4(), quantity_field(bread): quantity} | changes
    return client.post("/orders/", data)


def fields_in(page):
    """Return the fields that a browser sends for the form of a page."""
    fields = re.findall(
        '<input type="(?:hidden|number|text)" name="([^"]+)" value="([^"]*)"', page.text
    )
    return dict(fields)


@pytest.mark.parametrize("page", PAGES)
def test_pages_need_a_login(client, page):
    assert client.get(page).url == f"/accounts/login/?next={page}"


def test_products_are_listed_with_price_stock_and_a_labelled_field(ann, bread):
    Product.objects.create(name="Cake", price=20)

    page = ann.get("/orders/").text

    assert "4.50 EUR" in page
    assert "<td>5</td>" in page
    assert "<td>sold out</td>" in page
    assert page.count("<h1>") == 1
    for label in re.findall('<label for="([^"]+)">', page):
        assert f'id="{label}"' in page


def test_without_products_staff_see_how_to_add_one(ann, admin_client):
    assert "Staff can add products in the admin" in ann.get("/orders/").text
    assert "/admin/orders/product/add/" not in ann.get("/orders/").text
    assert "/admin/orders/product/add/" in admin_client.get("/orders/").text


def test_an_order_is_placed_and_shown(ann, bread):
    response = send(ann, bread, 2)

    order = Order.objects.get()
    assert response.url == f"/orders/{order.pk}/"
    page = ann.get(response.url).text
    assert f"<h1>{order}</h1>" in page
    assert "9.00 EUR" in page
    assert TaskRun.objects.count() == 1


def test_submitting_a_form_twice_places_one_order(ann, bread):
    page = ann.get("/orders/")
    (order_id,) = re.findall('name="order_id" value="([^"]+)"', page.text)

    responses = [send(ann, bread, 1, order_id=order_id) for _ in range(2)]

    assert [response.url for response in responses] == [f"/orders/{order_id}/"] * 2
    assert Order.objects.count() == 1
    assert "no-store" in page["Cache-Control"]
    assert order_id not in ann.get("/orders/").text


@pytest.mark.parametrize("quantity", ["", "-1", "0", "100", "two"])
def test_an_invalid_quantity_is_an_error(ann, bread, quantity):
    response = send(ann, bread, quantity)

    assert response.status_code == 422
    assert "Your order was not placed" in response.text
    assert 'class="errorlist"' in response.text or "Enter the quantity" in response.text
    assert not Order.objects.exists()


def test_a_deleted_product_is_an_error(ann, bread):
    cake = Product.objects.create(name="Cake", price=20)
    chosen = {quantity_field(cake): 1}
    cake.delete()

    response = send(ann, bread, 1, **chosen)

    assert response.status_code == 422
    assert "no longer available" in response.text
    assert not Order.objects.exists()


def test_customers_see_a_changed_price_before_they_pay(ann, bread):
    seen = {price_field(bread): bread.price}
    Product.objects.update(price=100)

    response = send(ann, bread, 1, **seen)

    assert response.status_code == 422
    assert "The price has changed, please check it: Bread." in response.text
    assert not Order.objects.exists()
    assert ann.post("/orders/", fields_in(response)).status_code == 302
    assert Order.objects.get().total == 100


def test_wide_tables_scroll_by_keyboard(ann, place):
    page = ann.get(place().get_absolute_url()).text

    assert re.search(r'<section [^>]+ tabindex="0">\s*<h2 id="products">', page)


def test_orders_of_other_users_are_not_found(bob, place):
    order = place()

    for page in ("", "steps/"):
        assert bob.get(f"/orders/{order.pk}/{page}").status_code == 404
    assert str(order) not in bob.get("/orders/mine/").text
    assert "could not be placed" in send(bob, Product.objects.get(), 1, order_id=order.pk).text


@pytest.mark.parametrize(
    ("fields", "statuses"),
    [
        ({"state": "placed"}, ["in progress", "waiting", "waiting"]),
        ({"state": "reserved"}, ["done", "in progress", "waiting"]),
        ({"state": "paid"}, ["done", "done", "in progress"]),
        ({"state": "confirmed"}, ["done", "done", "done"]),
        (
            {"state": "rejected", "reject_reason": "out_of_stock"},
            ["failed", "skipped", "skipped"],
        ),
        (
            {"state": "rejected", "reject_reason": "payment_declined"},
            ["done", "failed", "skipped"],
        ),
    ],
    ids=["placed", "reserved", "paid", "confirmed", "out of stock", "declined"],
)
def test_the_page_shows_each_step_and_polls_until_the_last(ann, place, fields, statuses):
    order = place(**fields)

    for page in (f"/orders/{order.pk}/", f"/orders/{order.pk}/steps/"):
        text = ann.get(page).text
        steps = text[text.index('<ol class="stepper">') : text.index("</ol>")]
        assert re.findall('<span class="soft">([a-z ]+)</span>', steps) == statuses
        assert steps.count('aria-current="step"') == statuses.count("in progress")
        polls = fields["state"] not in {"confirmed", "rejected"}
        assert ("every 2s" in text) == polls
        assert ('<a id="refresh"' in text) == polls  # without an id, HTMX loses the focus
        assert order.get_reject_reason_display() in text


def test_an_unchanged_state_is_not_sent_again(ann, place):
    order = place()

    (url,) = re.findall('hx-get="(/orders/[^"]+)"', ann.get(f"/orders/{order.pk}/").text)

    assert ann.get(url).status_code == 204
    Order.objects.update(state="paid")
    assert "paid" in ann.get(url).text


def test_customers_see_their_latest_orders_first(ann, place):
    assert "You have no orders yet" in ann.get("/orders/mine/").text
    first, second = place(), place()

    page = ann.get("/orders/mine/").text

    assert page.index(str(second)) < page.index(str(first))
    assert f'href="/orders/{first.pk}/"' in page


def test_staff_add_products(admin_client):
    admin_client.post("/admin/orders/product/add/", {"name": "Cake", "price": "20", "stock": "3"})
    invalid = admin_client.post(
        "/admin/orders/product/add/", {"name": "Tea", "price": "0", "stock": "-1"}
    )

    assert Product.objects.get().name == "Cake"
    assert "The price must be above zero." in invalid.text
    assert "The stock must not be below zero." in invalid.text


def test_changing_a_name_does_not_restore_an_outdated_stock(admin_client, bread, monkeypatch):
    save = Product.save

    def sell_and_save(self, **options):
        Product.objects.update(stock=1)
        save(self, **options)

    monkeypatch.setattr(Product, "save", sell_and_save)
    url = f"/admin/orders/product/{bread.pk}/change/"
    admin_client.post(url, fields_in(admin_client.get(url)) | {"name": "Loaf"})

    bread.refresh_from_db()
    assert (bread.name, bread.stock) == ("Loaf", 1)


@pytest.mark.parametrize(("entered", "left"), [(5, 1), (8, 4), (4, 0)])
def test_changing_the_stock_keeps_sales_since_the_form_was_shown(
    admin_client, bread, entered, left
):
    url = f"/admin/orders/product/{bread.pk}/change/"
    shown = fields_in(admin_client.get(url))
    Product.objects.update(stock=1)

    admin_client.post(url, shown | {"name": "Loaf", "stock": entered})

    bread.refresh_from_db()
    assert (bread.name, bread.stock) == ("Loaf", left)


def test_the_stock_cannot_be_changed_below_zero(admin_client, bread):
    url = f"/admin/orders/product/{bread.pk}/change/"
    shown = fields_in(admin_client.get(url))
    Product.objects.update(stock=1)

    response = admin_client.post(url, shown | {"stock": 3})

    assert "The stock must not be below zero." in response.text
    assert Product.objects.get().stock == 1


def test_orders_are_read_only_in_the_admin(admin_client, place):
    order = place()
    url = f"/admin/orders/order/{order.pk}/"

    page = admin_client.get(f"{url}change/").text

    assert "2 × Bread" in page
    assert 'name="_save"' not in page
    assert admin_client.post(f"{url}change/", {"state": "paid"}).status_code == 403
    assert admin_client.post(f"{url}delete/", {"post": "yes"}).status_code == 403
    assert admin_client.get("/admin/orders/order/add/").status_code == 403
    assert str(order) in admin_client.get("/admin/orders/order/", {"q": str(order.pk)}).text


def test_the_list_of_orders_does_not_read_the_whole_table(admin_client, customer):
    Order.objects.bulk_create(
        Order(
            customer=customer,
            total=1,
            payment_reference=f"payment-{n}",
            created_at=Now() - timedelta(minutes=n),
        )
        for n in range(500)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE orders_order")

    with CaptureQueriesContext(connection) as queries:
        admin_client.get("/admin/orders/order/")
        found = admin_client.get("/admin/orders/order/", {"q": "payment-7"})

    assert "1 order" in found.text
    assert not without_end(queries)
    assert "orders_by_age" in "".join(map(plan_of, queries))


def test_orders_in_the_admin_need_their_own_permission(bob, place, django_user_model):
    user = django_user_model.objects.get(email="bob@example.com")
    user.is_staff = True
    user.save()
    user.user_permissions.set(Permission.objects.filter(codename="view_product"))
    place()

    assert bob.get("/admin/orders/product/").status_code == 200
    assert bob.get("/admin/orders/order/").status_code == 403


def test_a_customer_has_a_limit_of_orders_per_hour(ann, bread, monkeypatch):
    monkeypatch.setattr(views, "MAX_PER_HOUR", 2)

    responses = [send(ann, bread, 1) for _ in range(3)]

    assert [response.status_code for response in responses] == [302, 302, 429]
    assert "The limit is 2 orders per hour" in responses[-1].text
    assert Order.objects.count() == 2
