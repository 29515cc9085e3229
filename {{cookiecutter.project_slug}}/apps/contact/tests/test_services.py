import pytest
from celery.signals import after_task_publish
from django.db import transaction

from apps.contact import services
from apps.contact.models import Submission
from apps.contact.services import queue_mails, submit
from apps.notifications.models import Notification
from durable.mail.models import Email
from durable.mail.rendering import build, render

pytestmark = pytest.mark.django_db

WRITTEN = {
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


def test_each_of_the_staff_is_told(staff):
    submission = submit(**WRITTEN)

    notices = Email.objects.filter(template="contact_notice")
    assert {(notice.to, notice.key) for notice in notices} == {
        (person.email, f"contact-{submission.pk}-notice-{person.pk}") for person in staff
    }


def test_the_confirmation_belongs_to_its_message():
    submission = submit(**WRITTEN)

    confirmation = mail("contact_confirmation")
    assert confirmation.key == f"contact-{submission.pk}-confirmation"
    assert confirmation.related == submission
    assert build(confirmation).extra_headers["Auto-Submitted"] == "auto-replied"


def test_a_second_call_queues_no_mail_twice(staff):
    submission = submit(**WRITTEN)

    queue_mails(submission)

    assert Email.objects.count() == 1 + len(staff)


def test_the_bell_of_each_of_the_staff_rings_and_leads_to_the_message(staff, admin_client):
    submission = submit(**WRITTEN)

    notifications = Notification.objects.filter(user__in=staff)
    assert {(each.kind, each.title) for each in notifications} == {
        ("contact", "Contact: Bread & butter")
    }
    assert len(notifications) == len(staff)
    assert notifications[0].url == f"/admin/contact/submission/{submission.pk}/change/"
    assert "Bread &amp; butter" in admin_client.get(notifications[0].url).text


def test_what_cannot_be_told_is_not_saved(staff, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("the last step fails")

    monkeypatch.setattr(services, "notify", fail)

    with pytest.raises(RuntimeError):
        submit(**WRITTEN)
    for model in (Submission, Email, Notification):
        assert not model.objects.exists()


def test_the_broker_hears_of_it_after_the_commit_in_two_messages_at_most(
    staff, django_capture_on_commit_callbacks
):
    published = []

    def note(sender, **_):
        published.append(sender)

    after_task_publish.connect(note)
    try:
        with django_capture_on_commit_callbacks(execute=True):
            submit(**WRITTEN)
            assert published == []
    finally:
        after_task_publish.disconnect(note)

    assert published == ["mail.deliver_email", "mail.deliver_batch"]


def test_a_rolled_back_transaction_leaves_nothing(django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as rings, transaction.atomic():
        submit(**WRITTEN)
        transaction.set_rollback(True)

    assert rings == []
    assert not Submission.objects.exists()
    assert not Email.objects.exists()


def test_the_confirmation_carries_no_strangers_words_but_the_subject():
    submit(**WRITTEN)

    content = render(mail("contact_confirmation"))

    assert "Bread & butter" in content.text
    assert "Bread &amp; butter" in content.html
    for part in (content.subject, content.text, content.html):
        assert "fresh" not in part
        assert "Hara" not in part


def test_the_notice_says_who_wrote_what_and_where_to_find_it(staff, admin_client, settings):
    submission = submit(**WRITTEN)

    content = render(mail("contact_notice"))

    page = f"/admin/contact/submission/{submission.pk}/change/"
    assert content.subject == "Contact: Bread & butter"
    assert "Ann O'Hara <ann@example.com>" in content.text
    assert WRITTEN["message"] in content.text
    assert settings.FRONTEND_URL + page in content.text
    assert 'href="mailto:ann@example.com"' in content.html
    assert "&lt;b&gt;fresh" in content.html
    assert admin_client.get(page).status_code == 200


@pytest.mark.parametrize("template", ["contact_confirmation", "contact_notice"])
def test_text_has_no_html_escapes(staff, template):
    submit(**WRITTEN)

    content = render(mail(template))

    assert "&amp;" not in content.subject + content.text
    assert "&#x27;" not in content.subject + content.text
