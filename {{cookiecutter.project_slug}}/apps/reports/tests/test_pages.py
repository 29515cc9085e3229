import asyncio
import re
from datetime import date, timedelta

import pytest
from django.apps import apps
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.urls import resolve, reverse
from django.utils.html import escape

from apps.reports import building, forms, importing, services, tasks, views
from apps.reports.models import Report, Sale, Upload
from durable.mail.models import Email
from durable.mail.rendering import render
from durable.testing.plans import plan_of, without_end

pytestmark = pytest.mark.django_db

NEW_YEAR = date(2024, 1, 1)
HOUR = timedelta(hours=1)
FILE = "external_id,sold_on,product,quantity,amount\ns1,2024-01-01,Pen,1,2.50\nbad <line>\n"


@pytest.fixture
def user(django_user_model, client):
    user = django_user_model.objects.create_user("ann@example.com")
    client.force_login(user)
    return user


@pytest.fixture
def stranger(django_user_model):
    return django_user_model.objects.create_user("bob@example.com")


def file(content=FILE):
    return SimpleUploadedFile("sales.csv", content.encode())


def built(user):
    """Return a report that is there."""
    report = services.order_report(user, NEW_YEAR, NEW_YEAR + timedelta(days=9))
    building.begin(report.pk)
    for part in report.parts.all():
        building.build_part(part.pk)
    assert building.finish(report.pk)
    report.refresh_from_db()
    return report


def test_the_home_page_can_name_it():
    config = apps.get_app_config("reports")

    assert resolve(reverse(config.home)).func == views.jobs
    assert config.summary.endswith(".")


def test_an_empty_list_says_what_to_do_next(client, user):
    page = client.get("/reports/").text

    assert "You have imported nothing yet." in page
    assert "/reports/new/" in page
    assert "/reports/imports/new/" in page


def test_a_file_is_taken_and_its_page_shows_how_it_goes_on(client, user):
    response = client.post("/reports/imports/new/", {"file": file()}, follow=True)

    upload = Upload.objects.get()
    assert (upload.user, upload.name, upload.state) == (user, "sales.csv", "waiting")
    page = response.text
    assert f'data-task="{upload.pk}"' in page
    assert '<progress max="100" value="0"' in page
    assert "<span data-progress-text>0 %</span>" in page
    assert 'hx-trigger="every 2s, progress throttle:500ms"' in page
    assert 'hx-select="#job"' in page
    assert "What is imported stays, also when you cancel." in page
    assert "Cancel</button>" not in re.search("<section id=.job.*?</section>", page, re.DOTALL)[0]
    assert "hx-swap-oob" not in page


def test_a_running_import_tells_the_time_that_is_left(client, user):
    upload = services.import_file(user, file())
    Upload.objects.update(state="running", position=50, size=100, started_at=Now() - 5 * HOUR)

    page = client.get(upload.get_absolute_url()).text

    assert re.search(r"about 30\d min left", page)
    assert '<progress max="100" value="50"' in page


def test_an_import_that_is_done_lists_bad_lines_and_asks_no_more(client, user):
    upload = services.import_file(user, file())
    importing.run(upload.pk)

    page = client.get(upload.get_absolute_url()).text

    assert '<progress max="100" value="100"' in page
    assert "3 lines read: 1 new, 0 known before, 1 bad." in page
    assert re.search(r'<th scope="row">3</th>\s*<td>cells: 1, in the first line: 5</td>', page)
    assert 'hx-trigger="every' not in page
    assert "Cancel" not in page
    assert 'hx-swap-oob="true"' in page


def test_what_a_file_holds_is_text_on_the_page(client, user):
    upload = services.import_file(user, file(FILE.replace("2024-01-01", "<script>")))
    importing.run(upload.pk)

    page = client.get(upload.get_absolute_url()).text

    assert "<script>" not in page
    assert escape("<script>") in page


def test_a_failed_import_says_what_its_user_can_mend(client, user):
    upload = services.import_file(user, file("a;b\n"))
    importing.run(upload.pk)

    assert "Columns that are missing" in client.get(upload.get_absolute_url()).text


@pytest.mark.parametrize("content", ["", "x" * 11], ids=["empty", "too large"])
def test_a_file_that_cannot_be_taken_is_a_mistake(client, user, monkeypatch, content):
    monkeypatch.setattr(forms, "LARGEST_FILE", 10)

    response = client.post("/reports/imports/new/", {"file": file(content)})
    page = response.text

    assert response.status_code == 422
    assert "Error:" in page
    assert re.search(r'aria-describedby="[^"]*id_file_error"', page)
    assert not Upload.objects.exists()


def test_a_report_is_ordered_and_downloaded(client, user):
    services.import_file(user, file())
    importing.run(Upload.objects.get().pk)
    response = client.post("/reports/new/", {"since": "2024-01-01", "until": "2024-01-10"})
    assert response.url == Report.objects.get().get_absolute_url()
    assert "Cancel" in client.get(response.url).text
    Report.objects.all().delete()

    report = built(user)

    page = client.get(report.get_absolute_url()).text
    assert "Download 1 line<" in page
    assert " download=" not in page  # what comes in the file's stead would be saved under its name
    answer = client.get(reverse("reports:download", args=[report.pk]))
    assert answer["Content-Disposition"] == (
        'attachment; filename="sales_2024-01-01_2024-01-10.csv"'
    )
    assert b"".join(answer.streaming_content).decode().splitlines() == [
        "sold_on,product,sales,quantity,amount",
        "2024-01-01,Pen,1,1,2.50",
    ]


def test_pieces_come_one_by_one_to_an_asynchronous_server():
    async def collect():
        return [piece async for piece in views.asynchronous(iter(["a", "", "b"]))]

    assert asyncio.run(collect()) == ["a", "", "b"]


def test_a_file_that_has_expired_is_built_again(client, user):
    report = built(user)
    Report.objects.update(expires_at=Now() - HOUR)

    answer = client.get(reverse("reports:download", args=[report.pk]), follow=True)

    assert answer.redirect_chain == [(report.get_absolute_url(), 302)]
    link = re.search(r'href="(/reports/new/[^"]+)">Build it again', answer.text)
    form = client.get(link[1].replace("&amp;", "&")).text
    assert 'name="since" value="2024-01-01"' in form
    assert 'name="until" value="2024-01-10"' in form


@pytest.mark.parametrize(
    ("since", "until", "error"),
    [
        ("2024-01-02", "2024-01-01", "The last day is before the first one."),
        ("2024-01-01", "2025-01-01", "A report holds 366 days at the most."),
        ("", "2024-01-01", "This field is required."),
    ],
)
def test_a_period_that_cannot_be_reported_on_is_a_mistake(client, user, since, until, error):
    response = client.post("/reports/new/", {"since": since, "until": until})

    assert response.status_code == 422
    assert error in response.text
    assert not Report.objects.exists()


def test_a_leap_year_fits_into_a_report(client, user):
    client.post("/reports/new/", {"since": "2024-01-01", "until": "2024-12-31"})

    assert Report.objects.exists()


@pytest.mark.parametrize("kind", ["upload", "report"])
def test_cancel_works_once(client, user, kind):
    job = (
        services.import_file(user, file())
        if kind == "upload"
        else services.order_report(user, NEW_YEAR, NEW_YEAR)
    )
    url = reverse(f"reports:cancel_{kind}", args=[job.pk])
    assert f'action="{url}"' in client.get(job.get_absolute_url()).text

    assert client.post(url).url == job.get_absolute_url()
    page = client.post(url, follow=True).text

    job.refresh_from_db()
    assert job.state == "canceled"
    assert "Canceled" in page
    assert 'hx-trigger="every' not in page
    assert client.get(url).status_code == 405


@pytest.mark.parametrize("kind", ["upload", "report"])
def test_who_cancels_after_the_session_has_ended_comes_back_to_the_page(client, user, kind):
    user.set_password("a long password")
    user.save()
    job = (
        services.import_file(user, file())
        if kind == "upload"
        else services.order_report(user, NEW_YEAR, NEW_YEAR)
    )
    client.logout()

    wanted = client.post(reverse(f"reports:cancel_{kind}", args=[job.pk])).url

    entered = {"username": user.email, "password": "a long password"}
    page = client.post(wanted, entered, follow=True)
    assert page.redirect_chain == [(job.get_absolute_url(), 302)]
    assert page.status_code == 200


def test_nobody_sees_or_stops_what_is_anothers(client, user, stranger):
    upload = services.import_file(stranger, file())
    report = built(stranger)
    ordered = services.order_report(stranger, NEW_YEAR, NEW_YEAR)

    assert "sales.csv" not in client.get("/reports/").text
    assert str(report.pk) not in client.get("/reports/").text
    for job in (upload, report):
        assert client.get(job.get_absolute_url()).status_code == 404
    assert client.get(reverse("reports:download", args=[report.pk])).status_code == 404
    assert client.post(reverse("reports:cancel_upload", args=[upload.pk])).status_code == 404
    assert client.post(reverse("reports:cancel_report", args=[ordered.pk])).status_code == 404
    ordered.refresh_from_db()
    assert ordered.state == "waiting"


def test_what_is_for_the_staff_is_seen_by_the_staff(client, user):
    report = building.weekly_report(NEW_YEAR)
    assert client.get(report.get_absolute_url()).status_code == 404

    type(user).objects.update(is_staff=True)

    assert client.get(report.get_absolute_url()).status_code == 200


@pytest.mark.parametrize("path", ["", "new/", "imports/new/"])
def test_who_has_not_signed_in_is_asked_to(client, path):
    response = client.get(f"/reports/{path}")

    assert response.status_code == 302
    assert "login" in response.url


def test_the_mail_leads_to_the_form_for_its_week(client, user, settings):
    type(user).objects.update(is_staff=True)
    report = building.weekly_report(NEW_YEAR + timedelta(days=7))
    building.mail_to_staff(report)

    content = render(Email.objects.get())

    link = "/reports/new/?since=2024-01-01&until=2024-01-07"
    assert content.subject.endswith("sales from 2024-01-01 to 2024-01-07")
    assert settings.FRONTEND_URL + link in content.text
    assert link.replace("&", "&amp;") in content.html
    assert 'value="2024-01-07"' in client.get(link).text


@pytest.mark.parametrize("model", ["sale", "upload", "report"])
def test_the_staff_looks_and_edits_nothing(admin_client, user, model):
    services.import_file(user, file())
    importing.run(Upload.objects.get().pk)
    tasks.start_report(built(user))
    row = apps.get_model("reports", model).objects.get()
    url = reverse(f"admin:reports_{model}_change", args=[row.pk])

    assert admin_client.get(reverse(f"admin:reports_{model}_changelist")).status_code == 200
    assert 'name="_save"' not in admin_client.get(url).text
    assert admin_client.post(url, {}).status_code == 403
    assert admin_client.get(reverse(f"admin:reports_{model}_add")).status_code == 403


def test_the_list_of_sales_does_not_read_the_whole_table(admin_client):
    Sale.objects.bulk_create(
        Sale(external_id=f"s{n}", sold_on=NEW_YEAR, product="Pen", quantity=1, amount=1)
        for n in range(500)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE reports_sale")

    with CaptureQueriesContext(connection) as queries:
        admin_client.get("/admin/reports/sale/")
        found = admin_client.get("/admin/reports/sale/", {"q": "s7"})

    assert "1 sale" in found.text
    assert not without_end(queries)
    plan = plan_of([query for query in queries if "reports_sale" in query["sql"]][-1])
    assert "Seq Scan" not in plan
    assert "SCAN reports_sale" not in plan
