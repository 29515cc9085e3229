import pytest
from django.urls import reverse

from apps.mail.models import Email, Suppression


def url(name, email):
    return reverse(f"admin:mail_email_{name}", args=[email.pk])


def test_the_list_filters_by_status(admin_client, make_email):
    make_email(to="sent@example.com", status="sent")
    make_email(to="failed@example.com", status="failed")

    page = admin_client.get(reverse("admin:mail_email_changelist"), {"status": "failed"})

    assert "failed@example.com" in page.text
    assert "sent@example.com" not in page.text


def test_the_page_shows_preview_timeline_and_what_can_be_done(admin_client, make_email):
    email = make_email(status="failed")
    email.events.create(kind="failed", attempt=1, detail="554 we do not want it")

    page = admin_client.get(url("change", email)).text

    assert f'<iframe class="mail-preview" sandbox src="{url("preview", email)}"' in page
    assert "554 we do not want it" in page
    assert url("send_again", email) in page
    assert url("cancel", email) not in page
    assert 'name="_save"' not in page


def test_the_preview_is_the_mail_in_a_sandbox(admin_client, make_email):
    email = make_email(context={"queued_by": "<script>alert(1)</script>"})

    response = admin_client.get(url("preview", email))

    assert "&lt;script&gt;alert(1)" in response.text
    assert response["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert response["X-Frame-Options"] == "SAMEORIGIN"


def test_a_preview_that_breaks_says_why(admin_client, make_email):
    response = admin_client.get(url("preview", make_email(template="gone")))

    assert "cannot be rendered" in response.text
    assert response["Content-Type"] == "text/plain"


def test_send_again_shows_the_copy(admin_client, make_email):
    email = make_email(status="failed")

    response = admin_client.post(url("send_again", email))

    copy = Email.objects.get(copy_of=email)
    assert response.url == url("change", copy)


def test_cancel_takes_the_mail_back(admin_client, make_email):
    email = make_email()

    page = admin_client.post(url("cancel", email), follow=True)

    email.refresh_from_db()
    assert email.status == "canceled"
    assert "will not be sent" in page.text


@pytest.mark.parametrize("action", ["send_again", "cancel"])
def test_a_link_alone_changes_nothing(admin_client, make_email, action):
    assert admin_client.get(url(action, make_email())).status_code == 405


@pytest.mark.parametrize(
    ("permission", "method", "name", "status"),
    [
        ("view_email", "get", "preview", 200),
        ("view_email", "post", "send_again", 403),
        ("view_email", "post", "cancel", 403),
        ("add_user", "get", "preview", 403),
    ],
)
def test_each_page_asks_for_its_permission(
    client, django_user_model, make_email, permission, method, name, status
):
    from django.contrib.auth.models import Permission  # noqa: PLC0415 - needs the database

    user = django_user_model.objects.create_user("staff@example.com", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename=permission))
    client.force_login(user)

    assert getattr(client, method)(url(name, make_email(status="sent"))).status_code == status


def test_the_lists_actions_tell_how_many_they_reached(admin_client, make_email):
    chosen = [make_email(), make_email(status="sent")]
    data = {"_selected_action": [email.pk for email in chosen]}
    changelist = reverse("admin:mail_email_changelist")

    canceled = admin_client.post(changelist, {**data, "action": "cancel"}, follow=True)
    copied = admin_client.post(changelist, {**data, "action": "send_again"}, follow=True)

    assert "1 of 2 canceled" in canceled.text
    assert "2 of 2 sent again" in copied.text


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("Ann <ANN@example.com>", "already exists"),
        ("Ann ann@example.com", "Enter a valid email address"),
        ("nobody", "Enter a valid email address"),
    ],
)
def test_a_suppression_is_of_an_address_and_once(admin_client, address, why):
    Suppression.objects.create(address="ann@example.com")

    page = admin_client.post(
        "/admin/mail/suppression/add/", {"address": address, "reason": "manual"}
    )

    assert why in page.text
    assert Suppression.objects.count() == 1
