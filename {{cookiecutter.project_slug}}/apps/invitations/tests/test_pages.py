import logging
import re
import threading
from datetime import timedelta

import pytest
import sentry_sdk
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models.functions import Now
from django.test import RequestFactory
from django.urls import reverse
from sentry_sdk.integrations.django import DjangoIntegration
from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware
from sentry_sdk.transport import Transport

from apps.invitations import services, views
from apps.invitations.models import Invitation
from apps.invitations.tasks import send_invitation_email
from apps.invitations.tokens import token_for
from apps.notifications.models import Notification
from apps.users.models import User
from durable.api import Email, TaskRun

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
PASSWORD_FORM = {"new_password1": PASSWORD, "new_password2": PASSWORD}


@pytest.fixture(autouse=True)
def _no_requests_yet():
    cache.clear()


@pytest.fixture
def boss():
    return User.objects.create_superuser("boss@example.com", PASSWORD)


@pytest.fixture
def staff(client):
    user = User.objects.create_user("staff@example.com", PASSWORD, is_staff=True)
    client.force_login(user)
    return user


@pytest.fixture
def invitation(boss):
    return services.invite(boss, ["ann@example.com"])[0]


@pytest.fixture
def sentry_events(settings):
    """What Sentry receives with the options of the settings."""
    events = []

    class Collecting(Transport):
        def capture_envelope(self, envelope):
            events.append(envelope.serialize().decode())

    sentry_sdk.init(
        "https://key@sentry.example/1",
        transport=Collecting,
        auto_session_tracking=False,
        default_integrations=False,
        integrations=[DjangoIntegration()],
        **settings.SENTRY_OPTIONS | {"traces_sample_rate": 1.0},
    )
    yield events
    sentry_sdk.get_client().close()
    sentry_sdk.get_global_scope().set_client(None)


def path_of(invitation):
    invitation.refresh_from_db()
    return f"/invitations/accept/{token_for(invitation.nonce)}/"


def test_several_addresses_are_invited_by_one_durable_task(client, staff):
    response = client.post(
        "/invitations/",
        {"emails": "ann@example.com\n\nBob@example.com\nANN@example.com", "role": "member"},
        follow=True,
    )

    assert "2 invited." in response.text
    assert [invitation.invited_by for invitation in Invitation.objects.all()] == [staff] * 2
    assert [run.name for run in TaskRun.objects.all()] == ["invitations.send_bulk_invitations"]


def test_errors_name_the_line_and_no_one_is_invited(client, staff):
    response = client.post(
        "/invitations/",
        {"emails": "ann@example.com\nnobody\nBob <b@example.com>", "role": "member"},
    )

    assert response.status_code == 422
    assert "Line 2: &#x27;nobody&#x27; is not an email address." in response.text
    assert "Line 3" in response.text
    assert "ann@example.com" in response.text
    assert not Invitation.objects.exists()


@pytest.mark.parametrize(
    "line",
    [
        "ann@example.com,",
        "ann@example.com;",
        "ann@example.com (Ann)",
        "ann @example.com",
        "ann@example.com, bob@example.com",
    ],
)
def test_a_line_with_more_than_an_address_is_an_error(client, staff, line):
    response = client.post("/invitations/", {"emails": line, "role": "member"})

    assert response.status_code == 422
    assert not Invitation.objects.exists()


def test_a_pending_address_is_not_invited_twice(client, staff, invitation):
    response = client.post(
        "/invitations/", {"emails": "Ann@Example.com", "role": "member"}, follow=True
    )

    assert "0 invited." in response.text
    assert "1 already invited" in response.text
    assert Invitation.objects.count() == 1


def test_an_address_can_be_invited_again_after_expiry(boss, invitation):
    Invitation.objects.update(expires_at=Now() - timedelta(seconds=1))

    assert len(services.invite(boss, ["ann@example.com"])) == 1


def test_only_staff_can_invite(client, staff, invitation):
    staff.is_staff = False
    staff.save()

    assert client.get("/invitations/").status_code == 403
    assert "Only staff can send invitations" in client.get("/invitations/").text
    assert client.post(f"/invitations/{invitation.pk}/revoke/").status_code == 403
    client.logout()
    assert client.get("/invitations/").url.startswith("/accounts/login/")


def test_only_superusers_can_invite_staff(client, staff):
    response = client.post("/invitations/", {"emails": "ann@example.com", "role": "staff"})

    assert response.status_code == 422
    with pytest.raises(PermissionDenied):
        services.invite(staff, ["ann@example.com"], "staff")
    assert not Invitation.objects.exists()


def test_invitations_of_other_users_cannot_be_changed(client, staff, invitation):
    assert client.post(f"/invitations/{invitation.pk}/revoke/").status_code == 404
    assert "ann@example.com" not in client.get("/invitations/").text


@pytest.mark.parametrize("action", ["resend", "revoke"])
def test_changes_after_the_session_has_expired_lead_to_login_and_back(client, invitation, action):
    wanted = client.post(f"/invitations/{invitation.pk}/{action}/").url

    entered = {"username": "boss@example.com", "password": PASSWORD}
    page = client.post(wanted, entered, follow=True)
    assert page.redirect_chain == [("/invitations/", 302)]
    assert page.status_code == 200


def test_labels_of_buttons_start_with_their_visible_text(client, boss, invitation):
    client.force_login(boss)

    page = client.get("/invitations/").text

    buttons = re.findall(r'aria-label="([^"]+)">([^<]+)</button>', page)
    assert [text for _, text in buttons] == ["Resend", "Revoke"]
    assert all(label.startswith(text) for label, text in buttons)


def test_a_new_link_invalidates_the_old_one(client, boss, invitation):
    client.force_login(boss)
    old = path_of(invitation)

    client.post(f"/invitations/{invitation.pk}/resend/")

    assert client.get(old).status_code == 404
    assert client.get(path_of(invitation)).status_code == 200


def test_the_page_names_the_inviter_and_protects_the_token(client, invitation):
    response = client.get(path_of(invitation))

    assert "boss@example.com invites ann@example.com" in response.text
    assert response["Referrer-Policy"] == "strict-origin"
    assert "no-store" in response["Cache-Control"]


def test_the_token_is_redacted_in_the_log(client, invitation, caplog):
    caplog.set_level("INFO")

    address = path_of(invitation)
    uvicorn = ("192.0.2.1:1", "GET", address, "1.1", 200)
    client.get(address)
    assert client.post(address, {"new_password1": "1", "new_password2": "1"}).status_code == 422
    logging.getLogger("uvicorn.access").info('%s - "%s %s HTTP/%s" %d', *uvicorn)

    assert caplog.text.count("/invitations/accept/hidden/") >= 4
    for record in caplog.records:
        assert token_for(invitation.nonce) not in repr(record.__dict__)


def test_sentry_receives_neither_token_nor_password(client, sentry_events, invitation, monkeypatch):
    def fail(token, *, password):
        sentry_sdk.add_breadcrumb(message=f"GET /invitations/accept/{token}/")
        raise MemoryError

    monkeypatch.setattr(services, "accept", fail)
    service = SentryWsgiMiddleware(lambda environ, _: client.handler(environ))
    request = RequestFactory().post(path_of(invitation), PASSWORD_FORM)
    service(request.environ, None).close()

    error, transaction = sentry_events
    assert "MemoryError" in error
    assert '"type":"transaction"' in transaction
    for text in sentry_events:
        assert "/invitations/accept/hidden/" in text
        assert token_for(invitation.nonce) not in text
        assert PASSWORD not in text


def test_the_preview_in_the_admin_hides_the_token(client, boss, invitation):
    client.force_login(boss)
    send_invitation_email(invitation.pk)
    email = Email.objects.get()

    preview = client.get(reverse("admin:mail_email_preview", args=[email.pk])).text

    assert "/invitations/accept/hidden/" in preview
    assert token_for(invitation.nonce) not in preview


def test_a_new_user_chooses_a_password_and_is_logged_in(client, invitation, boss):
    address = path_of(invitation)
    response = client.post(address, PASSWORD_FORM, follow=True)

    user = User.objects.get(email="ann@example.com")
    assert "Welcome!" in response.text
    assert response.context["user"] == user
    assert user.check_password(PASSWORD)
    assert not user.is_staff
    assert "accepted your invitation" in Notification.objects.get(user=boss).title
    assert client.post(address, PASSWORD_FORM).status_code == 410
    assert "used already" in client.get(address).text


def test_a_weak_password_does_not_use_up_the_link(client, invitation):
    address = path_of(invitation)

    response = client.post(address, {"new_password1": "1234", "new_password2": "1234"})

    assert response.status_code == 422
    assert "too short" in response.text
    assert client.get(address).status_code == 200
    assert not User.objects.filter(email="ann@example.com").exists()


def test_a_user_with_an_account_has_to_log_in(client, invitation):
    ann = User.objects.create_user("Ann@example.com", PASSWORD)
    address = path_of(invitation)

    assert f"/accounts/login/?next={address}" in client.get(address).text
    assert client.post(address, PASSWORD_FORM).status_code == 422
    client.force_login(ann)
    client.post(address)

    invitation.refresh_from_db()
    assert (invitation.state, invitation.accepted_by) == ("accepted", ann)
    assert ann.check_password(PASSWORD)


@pytest.mark.parametrize(("is_superuser", "is_staff"), [(True, True), (False, False)])
def test_the_role_is_granted_if_the_inviter_still_can(client, boss, is_superuser, is_staff):
    (invitation,) = services.invite(boss, ["ann@example.com"], "staff")
    boss.is_superuser = is_superuser
    boss.save()

    client.post(path_of(invitation), PASSWORD_FORM)

    assert User.objects.get(email="ann@example.com").is_staff is is_staff


@pytest.mark.parametrize(
    ("change", "status", "word"),
    [
        ({"state": "revoked"}, 410, "has revoked"),
        ({"state": "expired"}, 410, "has expired"),
        ({"expires_at": Now() - timedelta(seconds=1)}, 410, "has expired"),
        ({"token_hash": "another"}, 404, "copy the whole link"),
    ],
    ids=["revoked", "marked as expired", "overdue", "unknown"],
)
def test_the_page_of_an_invalid_link_gives_the_reason(client, invitation, change, status, word):
    address = path_of(invitation)
    Invitation.objects.update(**change)

    for response in (client.get(address), client.post(address, PASSWORD_FORM)):
        assert response.status_code == status
        assert word in response.text
    assert not User.objects.filter(email="ann@example.com").exists()


def test_finding_an_invitation_takes_one_query(invitation, django_assert_num_queries):
    with django_assert_num_queries(1):
        services.find(token_for(invitation.nonce))


@pytest.mark.django_db(transaction=True)
def test_one_of_two_simultaneous_requests_accepts(boss):
    # Without its task: a worker might run it until after the test.
    invitation = Invitation.objects.create(
        email="ann@example.com", invited_by=boss, **services.new_link()
    )
    token, outcomes = token_for(invitation.nonce), []
    together = threading.Barrier(2)

    def accept():
        together.wait()
        try:
            outcomes.append(str(services.accept(token, password=PASSWORD)))
        except services.CannotAcceptError as error:
            outcomes.append(f"rejected: {error}")
        finally:
            connection.close()

    threads = [threading.Thread(target=accept) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == ["ann@example.com", "rejected: accepted"]
    assert User.objects.filter(email="ann@example.com").count() == 1


def test_actions_of_the_admin_change_pending_invitations(client, boss, invitation):
    client.force_login(boss)
    services.invite(boss, ["bob@example.com"])
    services.revoke(Invitation.objects.get(email="bob@example.com"))
    before = path_of(invitation)
    keys = list(Invitation.objects.values_list("pk", flat=True))

    for action, message in (("resend", "1 of 2 resent."), ("revoke", "1 of 2 revoked.")):
        response = client.post(
            "/admin/invitations/invitation/",
            {"action": action, "_selected_action": keys},
            follow=True,
        )
        assert message in response.text

    assert client.get(before).status_code == 404
    assert set(Invitation.objects.values_list("state", flat=True)) == {"revoked"}
    page = client.get(f"/admin/invitations/invitation/{invitation.pk}/change/").text
    assert invitation.token_hash not in page


def test_invitations_and_new_links_have_a_limit_per_hour(client, staff, monkeypatch):
    monkeypatch.setattr(views, "MAX_PER_HOUR", 2)

    def invite(address):
        return client.post("/invitations/", {"emails": address, "role": "member"})

    assert invite("ann@example.com").status_code == 302
    link = path_of(Invitation.objects.get())
    assert client.post(f"/invitations/{Invitation.objects.get().pk}/resend/").status_code == 302
    resent = path_of(Invitation.objects.get())
    assert resent != link

    client.post(f"/invitations/{Invitation.objects.get().pk}/resend/")
    refused = invite("bob@example.com")

    assert path_of(Invitation.objects.get()) == resent
    assert refused.status_code == 429
    assert "The limit is" in refused.text
