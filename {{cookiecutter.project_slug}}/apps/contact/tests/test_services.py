import pytest
from celery.signals import after_task_publish
from django.db import transaction

from apps.contact import services
from apps.contact.models import Submission
from apps.contact.services import queue_emails, submit
from apps.notifications.models import Notification
from durable.api import Email
from durable.mail.rendering import build, render

pytestmark = pytest.mark.django_db

MESSAGE = {
    "name": "Ann O'Hara",
    "email": "ann@example.com",
    "subject": "Bread & butter",
    "message": "It's <b>fresh</b>,\n\nisn't it?",
}


@pytest.fixture
def staff(django_user_model):
    make = django_user_model.objects.create_user
    make("customer@example.com")
    make("left@example.com", is_staff=True, is_active=False)
    return [make(f"{name}@example.com", is_staff=True) for name in ("bob", "carl")]


def mail(template):
    return Email.objects.filter(template=template).first()


def test_each_of_the_staff_gets_a_notice(staff):
    submission = submit(**MESSAGE)

    notices = Email.objects.filter(template="contact_notice")
    assert {(notice.to, notice.key) for notice in notices} == {
        (person.email, f"contact-{submission.pk}-notice-{person.pk}") for person in staff
    }


def test_the_confirmation_is_related_to_its_message():
    submission = submit(**MESSAGE)

    confirmation = mail("contact_confirmation")
    assert confirmation.key == f"contact-{submission.pk}-confirmation"
    assert confirmation.related == submission
    assert build(confirmation).extra_headers["Auto-Submitted"] == "auto-replied"


def test_a_second_call_queues_no_duplicates(staff):
    submission = submit(**MESSAGE)

    queue_emails(submission)

    assert Email.objects.count() == 1 + len(staff)


def test_each_of_the_staff_gets_a_notification_that_links_to_the_message(staff, admin_client):
    submission = submit(**MESSAGE)

    notifications = Notification.objects.filter(user__in=staff)
    assert {(row.kind, row.title) for row in notifications} == {
        ("contact", "Contact: Bread & butter")
    }
    assert len(notifications) == len(staff)
    assert notifications[0].url == f"/admin/contact/submission/{submission.pk}/change/"
    assert "Bread &amp; butter" in admin_client.get(notifications[0].url).text


def test_a_message_is_not_saved_if_its_notifications_fail(staff, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("the last step fails")

    monkeypatch.setattr(services, "notify", fail)

    with pytest.raises(RuntimeError):
        submit(**MESSAGE)
    for model in (Submission, Email, Notification):
        assert not model.objects.exists()


def test_the_mails_are_published_after_the_commit_in_two_messages(
    staff, django_capture_on_commit_callbacks
):
    published = []

    def record(sender, **_):
        published.append(sender)

    after_task_publish.connect(record)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            submit(**MESSAGE)
            assert published == []
    finally:
        after_task_publish.disconnect(record)

    assert published == ["mail.deliver_email", "mail.deliver_batch"]


def test_a_rollback_leaves_nothing(django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as callbacks, transaction.atomic():
        submit(**MESSAGE)
        transaction.set_rollback(True)

    assert callbacks == []
    assert not Submission.objects.exists()
    assert not Email.objects.exists()


def test_the_confirmation_contains_no_user_text_but_the_subject():
    submit(**MESSAGE)

    content = render(mail("contact_confirmation"))

    assert "Bread & butter" in content.text
    assert "Bread &amp; butter" in content.html
    for part in (content.subject, content.text, content.html):
        assert "fresh" not in part
        assert "Hara" not in part


def test_the_notice_contains_the_message_and_a_link(staff, admin_client, settings):
    submission = submit(**MESSAGE)

    content = render(mail("contact_notice"))

    page = f"/admin/contact/submission/{submission.pk}/change/"
    assert content.subject == "Contact: Bread & butter"
    assert "Ann O'Hara <ann@example.com>" in content.text
    assert MESSAGE["message"] in content.text
    assert settings.FRONTEND_URL + page in content.text
    assert 'href="mailto:ann@example.com"' in content.html
    assert "&lt;b&gt;fresh" in content.html
    assert admin_client.get(page).status_code == 200


@pytest.mark.parametrize("template", ["contact_confirmation", "contact_notice"])
def test_text_has_no_html_escapes(staff, template):
    submit(**MESSAGE)

    content = render(mail(template))

    assert "&amp;" not in content.subject + content.text
    assert "&#x27;" not in content.subject + content.text
