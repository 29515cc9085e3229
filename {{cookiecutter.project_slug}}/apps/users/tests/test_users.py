import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from apps.users.models import User

pytestmark = pytest.mark.django_db


def test_a_user_logs_in_with_the_address_in_any_case(client):
    User.objects.create_user("Ann@Example.com", "a long password")

    assert client.login(username="ann@example.COM", password="a long password")


def test_two_users_cannot_differ_by_letter_case_alone():
    User.objects.create_user("ann@example.com")

    with pytest.raises(ValidationError, match="exists already"):
        User(email="ANN@example.com", password="x").full_clean()
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create_user("ANN@example.com")


def test_a_user_needs_an_address():
    with pytest.raises(ValueError, match="email: "):
        User.objects.create_user("")


def test_a_superuser_may_do_everything():
    user = User.objects.create_superuser("root@example.com")

    assert (user.is_staff, user.is_superuser, str(user)) == (True, True, "root@example.com")


def test_the_admin_makes_and_shows_users(admin_client):
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
