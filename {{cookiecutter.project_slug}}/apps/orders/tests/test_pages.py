import re
import uuid
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext

from apps.orders.forms import field_of, price_field_of
from apps.orders.models import Order, Product
from durable.tasks.models import TaskRun
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


def send(client, bread, pieces, **changes):
    data = {"order_id": uuid.uuid4(), f"product-{bread.pk}": pieces} | changes
    return client.post("/orders/", data)


def fields_in(page):
    """Return what a browser would send of a page's form."""
    fields = re.findall(
        '<input type="(?:hidden|number|text)" name="([^"]+)" value="([^"]*)"', page.text
    )
    return dict(fields)


@pytest.mark.parametrize("page", PAGES)
def test_who_has_not_signed_in_is_asked_to(client, page):
    assert client.get(page).url == f"/accounts/login/?next={page}"


def test_every_product_has_its_price_its_stock_and_a_labelled_field(ann, bread):
    Product.objects.create(name="Cake", price=20)

    page = ann.get("/orders/").text

    assert "4.50 EUR" in page
    assert "<td>5</td>" in page
    assert "<td>sold out</td>" in page
    assert page.count("<h1>") == 1
    for label in re.findall('<label for="([^"]+)">', page):
        assert f'id="{label}"' in page


def test_where_nothing_is_for_sale_the_staff_are_shown_what_to_do(ann, admin_client):
    assert "has to add a product in the admin" in ann.get("/orders/").text
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


def test_a_form_that_is_sent_twice_makes_one_order(ann, bread):
    page = ann.get("/orders/")
    (order_id,) = re.findall('name="order_id" value="([^"]+)"', page.text)

    answers = [send(ann, bread, 1, order_id=order_id) for _ in range(2)]

    assert [answer.url for answer in answers] == [f"/orders/{order_id}/"] * 2
    assert Order.objects.count() == 1
    assert "no-store" in page["Cache-Control"]
    assert order_id not in ann.get("/orders/").text


@pytest.mark.parametrize("pieces", ["", "-1", "0", "100", "two"])
def test_mistakes_are_named_and_nothing_is_ordered(ann, bread, pieces):
    answer = send(ann, bread, pieces)

    assert answer.status_code == 422
    assert "Your order was not placed" in answer.text
    assert 'class="errorlist"' in answer.text or "Enter how many pieces" in answer.text
    assert not Order.objects.exists()


def test_what_is_for_sale_no_more_is_not_left_out_silently(ann, bread):
    cake = Product.objects.create(name="Cake", price=20)
    chosen = {field_of(cake): 1}
    cake.delete()

    answer = send(ann, bread, 1, **chosen)

    assert answer.status_code == 422
    assert "not for sale any more" in answer.text
    assert not Order.objects.exists()


def test_nobody_pays_another_price_than_they_have_seen(ann, bread):
    seen = {price_field_of(bread): bread.price}
    Product.objects.update(price=100)

    answer = send(ann, bread, 1, **seen)

    assert answer.status_code == 422
    assert "The price has changed, please look again: Bread." in answer.text
    assert not Order.objects.exists()
    assert ann.post("/orders/", fields_in(answer)).status_code == 302
    assert Order.objects.get().total == 100


def test_a_table_that_is_too_wide_scrolls_with_the_keyboard(ann, place):
    page = ann.get(place().get_absolute_url()).text

    assert re.search(r'<section [^>]+ tabindex="0">\s*<h2 id="goods">', page)


def test_the_order_of_somebody_else_is_not_there(bob, place):
    order = place()

    for page in ("", "steps/"):
        assert bob.get(f"/orders/{order.pk}/{page}").status_code == 404
    assert str(order) not in bob.get("/orders/mine/").text
    assert "cannot be placed" in send(bob, Product.objects.get(), 1, order_id=order.pk).text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"state": "placed"}, ["under way", "waiting", "waiting"]),
        ({"state": "reserved"}, ["done", "under way", "waiting"]),
        ({"state": "paid"}, ["done", "done", "under way"]),
        ({"state": "confirmed"}, ["done", "done", "done"]),
        (
            {"state": "rejected", "reject_reason": "out_of_stock"},
            ["refused", "left out", "left out"],
        ),
        (
            {"state": "rejected", "reject_reason": "payment_refused"},
            ["done", "refused", "left out"],
        ),
    ],
    ids=["placed", "reserved", "paid", "confirmed", "sold out", "not paid"],
)
def test_the_page_says_how_far_each_step_is_and_asks_until_the_end(ann, place, fields, words):
    order = place(**fields)

    for page in (f"/orders/{order.pk}/", f"/orders/{order.pk}/steps/"):
        text = ann.get(page).text
        assert (
            re.findall(
                "<span[^>]*>([a-z ]+)</span>", text[text.index("<ol>") : text.index("</ol>")]
            )
            == words
        )
        waits = fields["state"] not in {"confirmed", "rejected"}
        assert ("every 2s" in text) == waits
        assert ('<a id="look"' in text) == waits  # without an id, HTMX loses the focus
        assert order.get_reject_reason_display() in text


def test_a_page_that_shows_the_state_already_is_left_alone(ann, place):
    order = place()

    (again,) = re.findall('hx-get="(/orders/[^"]+)"', ann.get(f"/orders/{order.pk}/").text)

    assert ann.get(again).status_code == 204
    Order.objects.update(state="paid")
    assert "paid" in ann.get(again).text


def test_a_customer_finds_the_latest_orders_first(ann, place):
    assert "You have ordered nothing yet" in ann.get("/orders/mine/").text
    first, second = place(), place()

    page = ann.get("/orders/mine/").text

    assert page.index(str(second)) < page.index(str(first))
    assert f'href="/orders/{first.pk}/"' in page


def test_the_staff_add_products(admin_client):
    admin_client.post("/admin/orders/product/add/", {"name": "Cake", "price": "20", "stock": "3"})
    refused = admin_client.post(
        "/admin/orders/product/add/", {"name": "Tea", "price": "0", "stock": "-1"}
    )

    assert Product.objects.get().name == "Cake"
    assert "The price has to be above zero." in refused.text
    assert "The stock cannot be below zero." in refused.text


def test_a_new_name_brings_back_no_stock_that_was_sold_meanwhile(admin_client, bread, monkeypatch):
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
def test_what_is_sold_while_the_staff_look_at_a_product_stays_sold(
    admin_client, bread, entered, left
):
    url = f"/admin/orders/product/{bread.pk}/change/"
    shown = fields_in(admin_client.get(url))
    Product.objects.update(stock=1)

    admin_client.post(url, shown | {"name": "Loaf", "stock": entered})

    bread.refresh_from_db()
    assert (bread.name, bread.stock) == ("Loaf", left)


def test_nobody_takes_more_out_of_the_stock_than_is_left(admin_client, bread):
    url = f"/admin/orders/product/{bread.pk}/change/"
    shown = fields_in(admin_client.get(url))
    Product.objects.update(stock=1)

    answer = admin_client.post(url, shown | {"stock": 3})

    assert "The stock cannot be below zero." in answer.text
    assert Product.objects.get().stock == 1


def test_nobody_changes_an_order_in_the_admin(admin_client, place):
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


def test_who_may_not_look_at_orders_does_not(bob, place, django_user_model):
    bob_himself = django_user_model.objects.get(email="bob@example.com")
    bob_himself.is_staff = True
    bob_himself.save()
    bob_himself.user_permissions.set(Permission.objects.filter(codename="view_product"))
    place()

    assert bob.get("/admin/orders/product/").status_code == 200
    assert bob.get("/admin/orders/order/").status_code == 403
