import datetime as dt
from decimal import Decimal

import pytest
import structlog
from django.template import TemplateDoesNotExist

from durable.mail import api
from durable.mail.api import cancel, resend, send_email, send_emails
from durable.mail.models import Email, Suppression

pytestmark = pytest.mark.django_db


def test_send_email_rings_only_after_the_commit(published, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        email = send_email("test_email", "ann@example.com")
        assert published == []

    assert published == [("mail.deliver_email", (str(email.pk),))]
    assert email.status == "queued"


def test_nothing_but_the_id_travels_through_the_broker(
    published, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        email = send_email("test_email", "ann@example.com", {"password": "hunter2"})

    assert published == [("mail.deliver_email", (str(email.pk),))]


def test_the_same_key_returns_the_same_row_and_rings_once(
    published, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        first = send_email("test_email", "ann@example.com", key="welcome-1")
        again = send_email("test_email", "ann@example.com", key="welcome-1")

    assert first == again
    assert len(published) == 1


def test_the_context_is_kept_as_json_gives_it_back(db):
    email = send_email(
        "test_email", "ann@example.com", {"day": dt.date(2030, 1, 2), "price": Decimal("9.90")}
    )

    email.refresh_from_db()
    assert email.context == {"day": "2030-01-02", "price": "9.90"}


def test_a_related_object_is_found_again(django_user_model):
    user = django_user_model.objects.create_user("ann@example.com")

    email = send_email("test_email", "ann@example.com", related=user)

    assert Email.objects.get(pk=email.pk).related == user


@pytest.mark.parametrize(
    ("arguments", "error", "what"),
    [
        ({"to": "ann"}, ValueError, "to: 'ann' is not an email address"),
        ({"to": "ann@example.com\nBcc: bob@example.com"}, ValueError, "to: "),
        ({"to": "ann@example.com,"}, ValueError, "to: 'ann@example.com,' is not"),
        ({"to": "ann@example.com;"}, ValueError, "to: 'ann@example.com;' is not"),
        ({"to": "ann@example.com, bob@example.com"}, ValueError, "to: 'ann@example.com, bob"),
        ({"to": ["ann@example.com"]}, TypeError, "to: one address as a string"),
        ({"key": ""}, ValueError, "key: "),
        ({"from_email": "nobody"}, ValueError, "from_email: 'nobody'"),
        ({"reply_to": ["bob@example.com", "bob"]}, ValueError, "reply_to: 'bob'"),
        ({"headers": {"X-One": "1\r\nBcc: bob@example.com"}}, ValueError, "headers: 'X-One'"),
        ({"headers": {"X-One": 1}}, TypeError, "headers: X-One is int"),
        ({"context": {"user": object()}}, TypeError, "context: "),
        ({"attachments": [("a", b"x" * 19_000_000, "text/plain")]}, ValueError, "attachments: "),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_wrong_argument_is_refused_with_its_name(arguments, error, what):
    with pytest.raises(error, match=what):
        send_email(**{"template": "test_email", "to": "ann@example.com", **arguments})

    assert not Email.objects.exists()


def test_a_missing_template_fails_where_it_is_named():
    with pytest.raises(TemplateDoesNotExist):
        send_email("no_such_mail", "ann@example.com")


def test_a_suppressed_address_gets_a_row_and_no_mail(published, django_capture_on_commit_callbacks):
    Suppression.objects.create(address="Ann@Example.com")

    with django_capture_on_commit_callbacks(execute=True):
        email = send_email("test_email", "Ann <ANN@example.com>")

    email.refresh_from_db()
    assert email.status == "suppressed"
    assert [event.kind for event in email.events.all()] == ["suppressed"]
    assert published == []


def test_send_emails_publishes_one_message_for_each_chunk(
    published, django_capture_on_commit_callbacks, django_assert_max_num_queries, monkeypatch
):
    monkeypatch.setattr(api, "ROWS_AT_ONCE", 10)
    people = [(f"person{number}@example.com", {"n": number}, None) for number in range(15)]

    with django_capture_on_commit_callbacks(execute=True), django_assert_max_num_queries(10):
        assert send_emails("test_email", people) == 15

    assert [(name, len(arguments[0])) for name, arguments in published] == [
        ("mail.deliver_batch", 10),
        ("mail.deliver_batch", 5),
    ]


def test_send_emails_sends_each_key_once(published, django_capture_on_commit_callbacks):
    send_email("test_email", "ann@example.com", key="news-ann")
    Suppression.objects.create(address="carl@example.com")
    people = [
        ("ann@example.com", None, "news-ann"),
        ("bob@example.com", None, "news-bob"),
        ("bob@example.com", None, "news-bob"),
        ("carl@example.com", None, "news-carl"),
    ]

    with django_capture_on_commit_callbacks(execute=True):
        assert send_emails("test_email", people) == 2

    bob = Email.objects.get(key="news-bob")
    assert published == [("mail.deliver_batch", ([str(bob.pk)],))]
    assert Email.objects.get(key="news-carl").status == "suppressed"


def test_one_wrong_address_queues_none_of_many():
    with pytest.raises(ValueError, match="'bob' is not an email address"):
        send_emails("test_email", [("ann@example.com", None, None), ("bob", None, None)])

    assert not Email.objects.exists()


def test_sending_again_makes_a_copy_with_all_that_it_carried():
    email = send_email(
        "test_email",
        "ann@example.com",
        {"queued_by": "me"},
        key="once",
        attachments=[("a.txt", b"abc", "text/plain")],
    )
    Email.objects.filter(pk=email.pk).update(status="failed")

    copy = resend(email)

    assert (copy.status, copy.key, copy.resend_of, copy.context) == (
        "queued",
        None,
        email,
        {"queued_by": "me"},
    )
    assert [bytes(file.content) for file in copy.attachments.all()] == [b"abc"]
    assert [event.kind for event in email.events.all()] == ["copied"]


def test_a_mail_under_way_is_not_sent_again(make_email):
    with pytest.raises(ValueError, match="still under way"):
        resend(make_email(status="sending"))


@pytest.mark.parametrize(("status", "came_in_time"), [("queued", True), ("sending", False)])
def test_cancel_takes_back_what_no_worker_has_begun(make_email, status, came_in_time):
    email = make_email(status=status)

    assert cancel(email) is came_in_time

    email.refresh_from_db()
    assert (email.status == "canceled") is came_in_time


def test_the_row_knows_the_request_that_queued_it():
    with structlog.contextvars.bound_contextvars(request_id="request-7"):
        email = send_email("test_email", "ann@example.com")

    assert email.correlation_id == "request-7"


def test_a_long_id_of_a_request_does_not_keep_its_mail_from_being_queued():
    with structlog.contextvars.bound_contextvars(correlation_id="x" * 200):
        email = send_email("test_email", "ann@example.com")

    email.full_clean()
    assert email.correlation_id == "x" * 100
