import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction

from apps.users.models import User
from durable.testing.plans import plan_of

pytestmark = pytest.mark.django_db


def test_login_ignores_the_letter_case_of_the_address(client):
    User.objects.create_user("Ann@Example.com", "a long password")

    assert client.login(username="ann@example.COM", password="a long password")


def test_login_finds_the_user_by_the_index_on_addresses(
    django_assert_num_queries,
):
    User.objects.bulk_create(User(email=f"ann.{number}@example.com") for number in range(500))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE users_user")

    with django_assert_num_queries(1) as queries:
        User.objects.get_by_natural_key("Ann.7@example.com")

    assert "users_email_unique" in plan_of(queries[0])


def test_addresses_that_only_look_alike_in_capitals_are_two_logins(client):
    for email in ("lisa@example.com", "li\N{LATIN SMALL LETTER LONG S}a@example.com"):
        User.objects.create_user(email, email)

    for email in User.objects.values_list("email", flat=True):
        assert client.login(username=email, password=email)


def test_two_users_cannot_differ_by_letter_case_alone():
    User.objects.create_user("ann@example.com")

    with pytest.raises(ValidationError, match="already exists"):
        User(email="ANN@example.com", password="x").full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user("ANN@example.com")


def test_a_user_needs_an_address():
    with pytest.raises(ValueError, match="email: "):
        User.objects.create_user("")


def test_a_superuser_has_all_permissions():
    user = User.objects.create_superuser("root@example.com")

    assert (user.is_staff, user.is_superuser, str(user)) == (True, True, "root@example.com")


def test_the_admin_adds_and_shows_users(admin_client):
    page = admin_client.post(
        "/admin/users/user/add/",
        {
            "email": "bob@example.com",
            "usable_password": "true",
            "password1": "a long pass phrase",
            "password2": "a long pass phrase",
        },
        follow=True,
    )

    assert "bob@example.com" in page.text
    assert "bob@example.com" in admin_client.get("/admin/users/user/?q=bob").text


def test_login_leads_to_the_page_that_was_requested(client):
    User.objects.create_user("ann@example.com", "a long password")
    wanted = client.get("/notifications/")
    assert wanted.url == "/accounts/login/?next=/notifications/"
    page = client.get(wanted.url).text
    assert '<label for="id_username">' in page

    entered = {"username": "ann@example.com", "password": "a long password"}
    assert client.post(wanted.url, entered).url == "/notifications/"


def test_a_request_for_a_part_of_a_page_reloads_the_page_to_log_in(client):
    response = client.get("/notifications/", headers={"HX-Request": "true"}, follow=True)

    assert response.redirect_chain == [("/accounts/login/?next=/notifications/", 302)]
    assert response["HX-Refresh"] == "true"
    assert "<form" not in response.text


def test_login_does_not_redirect_to_another_site(client):
    User.objects.create_user("ann@example.com", "a long password")

    entered = {"username": "ann@example.com", "password": "a long password"}
    assert client.post("/accounts/login/?next=//example.com/", entered).url == "/"


def test_a_wrong_password_is_a_form_error(client):
    User.objects.create_user("ann@example.com", "a long password")

    page = client.post("/accounts/login/", {"username": "ann@example.com", "password": "x"}).text

    assert "Error:" in page
    assert "Please enter a correct email address and password" in page


def test_logout_needs_a_form(client):
    client.force_login(User.objects.create_user("ann@example.com"))

    assert client.get("/accounts/logout/").status_code == 405
    assert "Log out" in client.get("/").text
    assert client.post("/accounts/logout/").url == "/"
    assert "Log in" in client.get("/").text
