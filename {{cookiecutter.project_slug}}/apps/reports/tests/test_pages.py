import asyncio
import re
import time
from datetime import date, timedelta

import pytest
from django.apps import apps
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.db.models.functions import Now
from django.test.utils import CaptureQueriesContext
from django.urls import resolve, reverse
from django.utils.html import escape

from apps.reports import builder, forms, importer, services, tasks, views
from apps.reports.models import Report, Sale, Upload
from durable.api import Email
from durable.mail.rendering import render
from durable.testing.plans import plan_of, without_end

pytestmark = pytest.mark.django_db

NEW_YEAR = date(2024, 1, 1)
HOUR = timedelta(hours=1)
FILE = "external_id,sold_on,product,quantity,amount\ns1,2024-01-01,Pen,1,2.50\nbad <line>\n"


@pytest.fixture(autouse=True)
def _no_requests_yet():
    cache.clear()


@pytest.fixture
def user(django_user_model, client):
    user = django_user_model.objects.create_user("ann@example.com")
    client.force_login(user)
    return user


@pytest.fixture
def other_user(django_user_model):
    return django_user_model.objects.create_user("bob@example.com")


def file(content=FILE):
    return SimpleUploadedFile("sales.csv", content.encode())


def built(user):
    """Return a report that is ready."""
    report = services.request_report(user, NEW_YEAR, NEW_YEAR + timedelta(days=9))
    builder.start(report.pk)
    for part in report.parts.all():
        builder.build_part(part.pk)
    assert builder.finish(report.pk)
    report.refresh_from_db()
    return report


def test_the_app_has_a_home_page_and_a_summary():
    config = apps.get_app_config("reports")

    assert resolve(reverse(config.home)).func == views.jobs
    assert config.summary.endswith(".")


def test_empty_lists_link_to_the_forms(client, user):
    page = client.get("/reports/").text

    assert "You have no imports yet." in page
    assert "/reports/new/" in page
    assert "/reports/imports/new/" in page


def test_an_uploaded_file_leads_to_a_page_with_its_progress(client, user):
    response = client.post("/reports/imports/new/", {"file": file()}, follow=True)

    upload = Upload.objects.get()
    assert (upload.user, upload.name, upload.state) == (user, "sales.csv", "waiting")
    page = response.text
    assert f'data-task="{upload.pk}"' in page
    assert '<progress max="100" value="0"' in page
    assert "<span data-progress-text>0 %</span>" in page
    assert 'hx-trigger="every 2s, progress throttle:500ms"' in page
    assert 'hx-select="#job"' in page
    assert "Imported sales stay if you cancel." in page
    assert "Cancel</button>" not in re.search("<section id=.job.*?</section>", page, re.DOTALL)[0]
    assert "hx-swap-oob" not in page


def test_a_running_import_shows_the_time_left(client, user):
    upload = services.import_file(user, file())
    Upload.objects.update(state="running", position=50, size=100, started_at=Now() - 5 * HOUR)

    page = client.get(upload.get_absolute_url()).text

    assert re.search(r"about 30\d min left", page)
    assert '<progress max="100" value="50"' in page


def test_a_finished_import_lists_bad_lines_and_does_not_poll(client, user):
    upload = services.import_file(user, file())
    importer.run(upload.pk)

    page = client.get(upload.get_absolute_url()).text

    assert '<progress max="100" value="100"' in page
    assert "3 lines read: 1 new, 0 already known, 1 bad." in page
    assert re.search(r'<th scope="row">3</th>\s*<td>expected 5 cells, found 1</td>', page)
    assert 'hx-trigger="every' not in page
    assert "Cancel" not in page
    assert 'hx-swap-oob="true"' in page


def test_content_of_files_is_escaped_on_the_page(client, user):
    upload = services.import_file(user, file(FILE.replace("2024-01-01", "<script>")))
    importer.run(upload.pk)

    page = client.get(upload.get_absolute_url()).text

    assert "<script>" not in page
    assert escape("<script>") in page


def test_a_failed_import_shows_the_error(client, user):
    upload = services.import_file(user, file("a;b\n"))
    importer.run(upload.pk)

    assert "Missing columns" in client.get(upload.get_absolute_url()).text


@pytest.mark.parametrize("content", ["", "x" * 11], ids=["empty", "too large"])
def test_an_invalid_file_is_a_form_error(client, user, monkeypatch, content):
    monkeypatch.setattr(forms, "MAX_FILE_SIZE", 10)

    response = client.post("/reports/imports/new/", {"file": file(content)})
    page = response.text

    assert response.status_code == 422
    assert "Error:" in page
    assert re.search(r'aria-describedby="[^"]*id_file_error"', page)
    assert not Upload.objects.exists()


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_file_of_line_breaks_is_a_form_error(client, user, line_end):
    content = file(line_end * (20 * 2**20 // len(line_end)))

    started = time.monotonic()
    response = client.post("/reports/imports/new/", {"file": content})

    assert time.monotonic() - started < 10
    assert response.status_code == 422
    assert "The file has more than 10,000 empty lines. Remove them." in response.text
    assert not Upload.objects.exists()


def test_too_many_lines_are_a_form_error(client, user, monkeypatch):
    monkeypatch.setattr(forms, "MAX_LINES", 3)

    response = client.post("/reports/imports/new/", {"file": file(FILE + "bad\n")})

    assert response.status_code == 422
    assert "The file has more than 3 lines. Split it" in response.text


def test_a_long_line_is_no_empty_line_and_is_saved_completely(client, user, monkeypatch):
    monkeypatch.setattr(forms, "MAX_EMPTY_LINES", 0)
    content = FILE + "x" * 200_000 + "\n"

    client.post("/reports/imports/new/", {"file": file(content)})

    stored = b"".join(bytes(chunk.content) for chunk in Upload.objects.get().chunks.all())
    assert stored == content.encode()


@pytest.mark.parametrize(
    ("url", "limit", "data"),
    [
        ("/reports/imports/new/", "MAX_UPLOADS_PER_HOUR", lambda: {"file": file()}),
        (
            "/reports/new/",
            "MAX_REPORTS_PER_HOUR",
            lambda: {"since": "2024-01-01", "until": "2024-01-10"},
        ),
    ],
)
def test_a_user_has_a_limit_per_hour(client, user, other_user, monkeypatch, url, limit, data):
    monkeypatch.setattr(views, limit, 2)

    responses = [client.post(url, data()) for _ in range(3)]

    assert [response.status_code for response in responses] == [302, 302, 429]
    assert "The limit is 2" in responses[-1].text
    client.force_login(other_user)
    assert client.post(url, data()).status_code == 302


def test_a_report_is_requested_and_downloaded(client, user):
    services.import_file(user, file())
    importer.run(Upload.objects.get().pk)
    response = client.post("/reports/new/", {"since": "2024-01-01", "until": "2024-01-10"})
    assert response.url == Report.objects.get().get_absolute_url()
    assert "Cancel" in client.get(response.url).text
    Report.objects.all().delete()

    report = built(user)

    page = client.get(report.get_absolute_url()).text
    assert "Download 1 line<" in page
    assert " download=" not in page  # an error page would be saved with the name of the file
    answer = client.get(reverse("reports:download", args=[report.pk]))
    assert answer["Content-Disposition"] == (
        'attachment; filename="sales_2024-01-01_2024-01-10.csv"'
    )
    assert b"".join(answer.streaming_content).decode().splitlines() == [
        "sold_on,product,sales,quantity,amount",
        "2024-01-01,Pen,1,1,2.50",
    ]


def test_an_asynchronous_server_gets_the_file_part_by_part():
    async def collect():
        return [part async for part in views.iterate_async(iter(["a", "", "b"]))]

    assert asyncio.run(collect()) == ["a", "", "b"]


def test_an_expired_file_can_be_built_again(client, user):
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
        ("2024-01-02", "2024-01-01", "The last day is before the first day."),
        ("2024-01-01", "2025-01-01", "A report can include at most 366 days."),
        ("", "2024-01-01", "This field is required."),
    ],
)
def test_an_invalid_period_is_a_form_error(client, user, since, until, error):
    response = client.post("/reports/new/", {"since": since, "until": until})

    assert response.status_code == 422
    assert error in response.text
    assert not Report.objects.exists()


def test_a_report_can_include_a_leap_year(client, user):
    client.post("/reports/new/", {"since": "2024-01-01", "until": "2024-12-31"})

    assert Report.objects.exists()


@pytest.mark.parametrize("kind", ["upload", "report"])
def test_a_job_is_canceled_once(client, user, kind):
    job = (
        services.import_file(user, file())
        if kind == "upload"
        else services.request_report(user, NEW_YEAR, NEW_YEAR)
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
def test_canceling_after_the_session_has_expired_leads_to_login_and_back(client, user, kind):
    user.set_password("a long password")
    user.save()
    job = (
        services.import_file(user, file())
        if kind == "upload"
        else services.request_report(user, NEW_YEAR, NEW_YEAR)
    )
    client.logout()

    wanted = client.post(reverse(f"reports:cancel_{kind}", args=[job.pk])).url

    entered = {"username": user.email, "password": "a long password"}
    page = client.post(wanted, entered, follow=True)
    assert page.redirect_chain == [(job.get_absolute_url(), 302)]
    assert page.status_code == 200


def test_jobs_of_other_users_are_not_found(client, user, other_user):
    upload = services.import_file(other_user, file())
    report = built(other_user)
    waiting = services.request_report(other_user, NEW_YEAR, NEW_YEAR)

    assert "sales.csv" not in client.get("/reports/").text
    assert str(report.pk) not in client.get("/reports/").text
    for job in (upload, report):
        assert client.get(job.get_absolute_url()).status_code == 404
    assert client.get(reverse("reports:download", args=[report.pk])).status_code == 404
    assert client.post(reverse("reports:cancel_upload", args=[upload.pk])).status_code == 404
    assert client.post(reverse("reports:cancel_report", args=[waiting.pk])).status_code == 404
    waiting.refresh_from_db()
    assert waiting.state == "waiting"


def test_reports_for_staff_are_visible_to_staff(client, user):
    report = builder.weekly_report(NEW_YEAR)
    assert client.get(report.get_absolute_url()).status_code == 404

    type(user).objects.update(is_staff=True)

    assert client.get(report.get_absolute_url()).status_code == 200


@pytest.mark.parametrize("path", ["", "new/", "imports/new/"])
def test_pages_need_a_login(client, path):
    response = client.get(f"/reports/{path}")

    assert response.status_code == 302
    assert "login" in response.url


def test_the_mail_links_to_the_form_with_its_period(client, user, settings):
    type(user).objects.update(is_staff=True)
    report = builder.weekly_report(NEW_YEAR + timedelta(days=7))
    builder.email_to_staff(report)

    content = render(Email.objects.get())

    link = "/reports/new/?since=2024-01-01&until=2024-01-07"
    assert content.subject.endswith("sales from 1 Jan 2024 to 7 Jan 2024")
    assert settings.FRONTEND_URL + link in content.text
    assert link.replace("&", "&amp;") in content.html
    assert 'value="2024-01-07"' in client.get(link).text


@pytest.mark.parametrize("model", ["sale", "upload", "report"])
def test_rows_are_read_only_in_the_admin(admin_client, user, model):
    services.import_file(user, file())
    importer.run(Upload.objects.get().pk)
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
