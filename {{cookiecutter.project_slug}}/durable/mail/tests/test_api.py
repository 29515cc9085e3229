import datetime as dt
from decimal import Decimal

import pytest
import structlog
from django.db import IntegrityError
from django.template import TemplateDoesNotExist

from durable.mail import api, enqueue
from durable.mail.api import resend, send_email, send_emails
from durable.mail.models import Email, Suppression

pytestmark = pytest.mark.django_db


def test_send_email_publishes_after_the_commit(published, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        email = send_email("test_email", "ann@example.com")
        assert published == []

    assert published == [("mail.deliver_email", (str(email.pk),))]
    assert email.status == "queued"


def test_only_the_id_travels_through_the_broker(published, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        email = send_email("test_email", "ann@example.com", {"password": "hunter2"})

    assert published == [("mail.deliver_email", (str(email.pk),))]


def test_the_same_key_returns_the_same_row_and_publishes_once(
    published, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        first = send_email("test_email", "ann@example.com", key="welcome-1")
        again = send_email("test_email", "ann@example.com", key="welcome-1")

    assert first == again
    assert len(published) == 1


def test_a_key_that_another_transaction_inserts_meanwhile_returns_its_row(make_email, monkeypatch):
    theirs = make_email(key="welcome-1")
    look_up = enqueue.without_known_keys

    def look_up_too_early(emails):
        monkeypatch.setattr(enqueue, "without_known_keys", look_up)
        return emails

    monkeypatch.setattr(enqueue, "without_known_keys", look_up_too_early)

    assert send_email("test_email", "ann@example.com", key="welcome-1") == theirs
    assert Email.objects.count() == 1


@pytest.mark.parametrize("key", [None, "welcome-1"])
def test_a_row_that_the_database_refuses_does_not_vanish(key, monkeypatch):
    monkeypatch.setattr(api, "correlation_id", lambda: None)  # NOT NULL

    with pytest.raises(IntegrityError):
        send_emails("test_email", [("ann@example.com", None, key)])


def test_the_context_is_stored_as_json_gives_it_back():
    email = send_email(
        "test_email", "ann@example.com", {"day": dt.date(2030, 1, 2), "price": Decimal("9.90")}
    )

    email.refresh_from_db()
    assert email.context == {"day": "2030-01-02", "price": "9.90"}


def test_the_related_object_can_be_found(django_user_model):
    user = django_user_model.objects.create_user("ann@example.com")

    email = send_email("test_email", "ann@example.com", related=user)

    assert Email.objects.get(pk=email.pk).related == user


FILE = ("a.txt", b"abc", "text/plain")
REFUSED = [
    ({"template": "x" * 101}, ValueError, "template: 101 characters given, and 100 are allowed"),
    ({"template": "a\x00"}, ValueError, "template: "),
    ({"to": "ann"}, ValueError, "to: 'ann' is not an email address"),
    ({"to": "ann@example.com\nBcc: bob@example.com"}, ValueError, "to: "),
    ({"to": "ann@example.com, bob@example.com"}, ValueError, "to: 'ann@example.com, bob"),
    ({"to": ["ann@example.com"]}, TypeError, "to: list given: pass one address"),
    ({"to": "x" * 303 + " <ann@example.com>"}, ValueError, "to: 321 characters"),
    ({"to": "Ann\x00 <ann@example.com>"}, ValueError, "to: a text holds NUL"),
    ({"to": "Ann\ud800 <ann@example.com>"}, ValueError, "to: "),
    ({"key": ""}, ValueError, "key: "),
    ({"key": "x" * 256}, ValueError, "key: 256 characters given, and 255 are allowed"),
    ({"key": "a\x00b"}, ValueError, "key: a text holds NUL"),
    ({"key": "a\ud800b"}, ValueError, "key: a text holds half of a surrogate pair"),
    ({"key": 7}, TypeError, "key: int given"),
    ({"from_email": "noreply"}, ValueError, "from_email: 'noreply'"),
    ({"reply_to": ["bob@example.com", "bob"]}, ValueError, "reply_to: 'bob'"),
    ({"reply_to": "Bob\x00 <bob@example.com>"}, ValueError, "reply_to: a text holds NUL"),
    ({"headers": {"X-One": "1\r\nBcc: bob@example.com"}}, ValueError, "headers: X-One: "),
    ({"headers": {"X-One": 1}}, TypeError, "headers: X-One: int given"),
    ({"headers": {"X-One": "\x00"}}, ValueError, "headers: X-One: "),
    ({"headers": {"": "1"}}, ValueError, "headers: '' is not"),
    ({"headers": {"X One": "1"}}, ValueError, "headers: 'X One' is not"),
    ({"headers": {"X-One:": "1"}}, ValueError, "headers: 'X-One:' is not"),
    ({"headers": {"X-One\n": "1"}}, ValueError, "headers: "),
    ({"headers": {"X-\u00d6ne": "1"}}, ValueError, "headers: 'X-\u00d6ne' is not"),
    ({"headers": {"message-id": "<1@example.com>"}}, ValueError, "headers: message-id is set by"),
    ({"headers": {"Subject": "Hello"}}, ValueError, "headers: Subject is set by"),
    ({"headers": {"Content-Type": "text/plain"}}, ValueError, "headers: Content-Type is set by"),
    ({"headers": {"Bcc": "bob@example.com"}}, ValueError, "headers: Bcc is set by"),
    ({"headers": {"To": "\xe9"}}, ValueError, "headers: To is set by"),
    ({"attachments": [("a", b"", "Message/delivery-status")]}, ValueError, "is not the type of a"),
    ({"attachments": [("a", b"", "multipart/mixed")]}, ValueError, "multipart/mixed is not the t"),
    ({"context": {"user": object()}}, TypeError, "context: "),
    ({"context": {"price": float("nan")}}, ValueError, "context: "),
    ({"context": {"price": [float("inf")]}}, ValueError, "context: "),
    ({"context": {"name": "a\x00b"}}, ValueError, "context: a text holds NUL"),
    ({"context": {"a\ud800b": 1}}, ValueError, "context: "),
    ({"attachments": [("a", b"x" * 19_000_000, "text/plain")]}, ValueError, "attachments: 19,0"),
    ({"attachments": [("x" * 256, b"", "text/plain")]}, ValueError, "attachments: file name: 256"),
    ({"attachments": [("a\x00", b"", "text/plain")]}, ValueError, "attachments: file name: "),
    ({"attachments": [("a\r\nb", b"", "text/plain")]}, ValueError, "attachments: the file name"),
    ({"attachments": [("a", "text", "text/plain")]}, TypeError, "attachments: a: str given"),
    ({"attachments": [("a", b"", "text")]}, ValueError, "attachments: a: 'text' is not"),
    ({"attachments": [("a", b"", "text/plain\r\nX: 1")]}, ValueError, "attachments: a: "),
    ({"attachments": [("a", b"", "a/" + "b" * 99)]}, ValueError, "attachments: content type: 101"),
    ({"attachments": [FILE, ("a", b"", None)]}, TypeError, "attachments: content type: "),
]


@pytest.mark.parametrize(("arguments", "error", "what"), REFUSED, ids=[each[2] for each in REFUSED])
def test_a_wrong_argument_is_refused_with_its_name(arguments, error, what):
    with pytest.raises(error, match=what):
        send_email(**{"template": "test_email", "to": "ann@example.com", **arguments})

    assert not Email.objects.exists()


def test_a_text_of_every_kind_that_fits_is_stored():
    email = send_email(
        "test_email",
        f"{'Ü' * 300} <ann@example.com>",
        {"text": "\\u0000 \U0001f600 \x01"},
        key="Ü" * 255,
        headers={"X-One!": "Ü \U0001f600"},
        attachments=[("Ü" * 255, b"\x00", "application/vnd.a+json")],
    )

    email.refresh_from_db()
    assert email.context == {"text": "\\u0000 \U0001f600 \x01"}
    assert email.key == "Ü" * 255
    assert email.headers == {"X-One!": "Ü \U0001f600"}
    assert email.attachments.get().name == "Ü" * 255


def test_a_missing_template_fails_in_the_call():
    with pytest.raises(TemplateDoesNotExist):
        send_email("no_such_mail", "ann@example.com")


def test_a_suppressed_address_gets_a_row_and_no_mail(published, django_capture_on_commit_callbacks):
    Suppression.objects.create(address="Ann@Example.com")

    with django_capture_on_commit_callbacks(execute=True):
        email = send_email("test_email", "Ann <ANN@example.com>", attachments=[FILE])

    email.refresh_from_db()
    assert email.status == "suppressed"
    assert [event.kind for event in email.events.all()] == ["suppressed"]
    assert published == []


def test_send_emails_publishes_one_message_for_each_chunk(
    published, django_capture_on_commit_callbacks, django_assert_max_num_queries, monkeypatch
):
    monkeypatch.setattr(api, "CHUNK_SIZE", 10)
    people = [(f"person{number}@example.com", {"n": number}, None) for number in range(15)]

    with django_capture_on_commit_callbacks(execute=True), django_assert_max_num_queries(6):
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
    assert published == [("mail.deliver_email", (str(bob.pk),))]
    assert Email.objects.get(key="news-carl").status == "suppressed"


def test_one_wrong_address_queues_none_of_many():
    with pytest.raises(ValueError, match="'bob' is not an email address"):
        send_emails("test_email", [("ann@example.com", None, None), ("bob", None, None)])

    assert not Email.objects.exists()


def test_resend_copies_the_content_and_the_attachments():
    email = send_email(
        "test_email", "ann@example.com", {"queued_by": "me"}, key="once", attachments=[FILE]
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
    assert [event.kind for event in email.events.all()] == ["resent"]


def test_an_unfinished_mail_cannot_be_resent(make_email):
    with pytest.raises(ValueError, match="is still sending"):
        resend(make_email(status="sending"))


@pytest.mark.parametrize(("status", "in_time"), [("queued", True), ("sending", False)])
def test_only_a_queued_mail_can_be_canceled(make_email, status, in_time):
    email = make_email(status=status)

    assert email.cancel() is in_time

    email.refresh_from_db()
    assert (email.status == "canceled") is in_time
    assert [event.kind for event in email.events.all()] == (["canceled"] if in_time else [])


def test_the_row_has_the_id_of_its_request():
    with structlog.contextvars.bound_contextvars(request_id="request-7"):
        email = send_email("test_email", "ann@example.com")

    assert email.correlation_id == "request-7"


def test_a_long_request_id_is_shortened():
    with structlog.contextvars.bound_contextvars(correlation_id="x" * 200):
        email = send_email("test_email", "ann@example.com")

    email.full_clean()
    assert email.correlation_id == "x" * 100
