import re
from datetime import date
from decimal import Decimal
from itertools import islice

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.notifications.models import Notification
from apps.reports import importer, records, services
from apps.reports.models import Sale, Upload, UploadChunk
from durable.api import get_progress

pytestmark = pytest.mark.django_db

HEADER = "external_id,sold_on,product,quantity,amount\n"


@pytest.fixture
def user(django_user_model):
    return django_user_model.objects.create_user("ann@example.com")


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    monkeypatch.setattr(importer, "BATCH_SIZE", 3)
    monkeypatch.setattr(records, "CHUNK_SIZE", 64)
    monkeypatch.setattr(records, "MAX_RECORD_SIZE", 500)


@pytest.fixture
def upload_file(user):
    """Upload a file without importing it."""

    def upload_file(content):
        content = content if isinstance(content, bytes) else content.encode()
        return services.import_file(user, SimpleUploadedFile("sales.csv", content))

    return upload_file


@pytest.fixture
def imported(upload_file):
    """Import a file, and return its upload."""

    def imported(content):
        upload = upload_file(content)
        importer.run(upload.pk)
        upload.refresh_from_db()
        return upload

    return imported


def lines(first, last):
    return "".join(f"s{number},2024-01-01,Pen,1,2.50\n" for number in range(first, last + 1))


def counts(upload):
    return upload.state, upload.imported, upload.skipped, upload.bad


def test_every_line_becomes_a_sale(imported):
    upload = imported(f"{HEADER}a1,2024-02-29,Pen,2,3.5\na2,2024-03-01,Ink,1,12\n")

    sale = Sale.objects.get(external_id="a1")
    assert (sale.sold_on, sale.product, sale.quantity) == (date(2024, 2, 29), "Pen", 2)
    assert (sale.amount, sale.source) == (Decimal("3.50"), upload.pk)
    assert counts(upload) == ("done", 2, 0, 0)
    assert (upload.position, upload.lines, upload.percent) == (upload.size, 3, 100)


def test_the_file_is_stored_in_chunks_until_it_is_imported(upload_file):
    upload = upload_file(HEADER + lines(1, 10))
    assert UploadChunk.objects.count() == -(-upload.size // records.CHUNK_SIZE)

    importer.run(upload.pk)

    assert not UploadChunk.objects.exists()


def test_the_user_is_notified_once(imported, user):
    upload = imported(HEADER + lines(1, 2))
    importer.run(upload.pk)

    notification = Notification.objects.get()
    assert (notification.user, notification.url) == (user, upload.get_absolute_url())
    assert get_progress(str(upload.pk)).percent == 100


def test_columns_can_be_in_any_order_with_others_in_between(imported):
    upload = imported(
        "Amount,note,product,quantity,sold_on, external_id,note\n5,x,Pen,1,2024-01-01,a,y\n"
    )

    assert upload.state == "done"
    assert Sale.objects.get().amount == 5


def test_byte_order_mark_and_windows_line_ends_are_ignored(imported):
    imported(b"\xef\xbb\xbf" + (HEADER + lines(1, 5)).replace("\n", "\r\n").encode())

    assert Sale.objects.count() == 5


def test_cells_can_contain_line_breaks_across_chunks_and_batches(imported):
    product = "A pen,\nof " + "long " * 30 + "\n\nlife"
    upload = imported(
        f'{HEADER}{lines(1, 2)}q,2024-01-01,"{product}",1,1\n\n{lines(3, 4)}oops,2024\n'
    )

    assert Sale.objects.get(external_id="q").product == product
    assert counts(upload) == ("done", 5, 0, 1)
    assert [number for number, _ in upload.bad_lines] == [11]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("b,2024-02-30,Pen,1,1", "sold_on: "),
        ("b,,Pen,1,1", "sold_on: "),
        ("b,2024-01-01,Pen,-1,1", "quantity: "),
        (f"b,2024-01-01,Pen,{10**20},1", "quantity: "),
        ("b,2024-01-01,Pen,1,NaN", "amount: "),
        ("b,2024-01-01,Pen,1,1e99", "amount: "),
        (" ,2024-01-01,Pen,1,1", "external_id: "),
        ("b,2024-01-01,Pe\0n,1,1", "product: "),
        ("b,2024-01-01,Pen,1\0,1", "quantity: "),
        (f"{'b' * 101},2024-01-01,Pen,1,1", "external_id: "),
        ("b,2024-01-01,Pen,1", "expected 5 cells, found 4"),
        ('b,2024-01-01,"Pen"cil,1,1', "',' expected after '\"'"),
        ('b,2024-01-01,"Pen,1,1', "unexpected end of data"),
        (f"b,2024-01-01,{'x' * 1_200},1,1", "is longer than 500 bytes"),
        (b"b,2024-01-01,Caf\xe9,1,1", "is not UTF-8"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_line_is_reported_and_does_not_affect_others(imported, line, reason):
    line = line if isinstance(line, bytes) else line.encode()
    upload = imported(
        HEADER.encode() + b"a,2024-01-01,Pen,1,1\n" + line + b"\n" + lines(1, 3).encode()
    )

    (bad_line,) = upload.bad_lines
    assert bad_line[0] == 3
    assert reason in bad_line[1]
    assert counts(upload) == ("done", 4, 0, 1)


def test_a_quote_that_is_never_closed_loses_one_line(imported):
    upload = imported(f'{HEADER}b,2024-01-01,"Pen,1,1\n{lines(1, 30)}')

    assert counts(upload) == ("done", 30, 0, 1)


def test_too_many_quotes_that_are_not_closed_fail_the_import(imported, monkeypatch):
    monkeypatch.setattr(records, "MAX_REREAD", 5_000)

    upload = imported(HEADER + lines(1, 3) + 'x","\n' * 200)

    assert upload.state == "failed"
    assert re.match(r"Too many quotes are not closed, the last one in line \d+\.", upload.error)
    assert upload.imported == 3


def test_long_bad_lines_are_not_taken_for_quotes(imported, monkeypatch):
    monkeypatch.setattr(records, "MAX_REREAD", 5_000)
    monkeypatch.setattr(importer, "BATCH_SIZE", 300)

    upload = imported((HEADER + lines(1, 3)).encode() + b"caf\xe9\n" * 900 + b"x" * 9_000)

    assert counts(upload) == ("done", 3, 0, 901)


def test_only_the_first_bad_lines_are_listed(imported, monkeypatch):
    monkeypatch.setattr(importer, "MAX_BAD_LINES", 4)

    upload = imported(HEADER + "bad\n" * 10)

    assert [number for number, _ in upload.bad_lines] == [2, 3, 4, 5]
    assert upload.bad == 10


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "The first line, which must contain the columns, is missing."),
        ("\n" + HEADER, "Missing columns: external_id, sold_on, product"),
        ("external_id;sold_on\n", "separated by commas"),
        ("external_id,sold_on,product,price\n", "Missing columns: quantity, amount."),
        (f"Amount,quantity,{HEADER}", "Duplicate columns: quantity, amount."),
        (HEADER.encode("utf-16"), "is not UTF-8."),
    ],
    ids=[
        "empty",
        "empty first line",
        "other separator",
        "missing columns",
        "duplicate columns",
        "other encoding",
    ],
)
def test_an_invalid_first_line_fails_the_import_with_a_reason(imported, content, error):
    upload = imported(content)

    assert upload.state == "failed"
    assert error in upload.error
    assert error in Notification.objects.get().body

    importer.run(upload.pk)
    assert Notification.objects.count() == 1


def test_a_file_without_sales_is_done_at_once(imported):
    assert counts(imported(HEADER)) == ("done", 0, 0, 0)


def test_known_sales_are_skipped(imported):
    imported(HEADER + lines(1, 4))

    upload = imported(f"{HEADER}{lines(3, 6)}{lines(6, 6)}")

    assert counts(upload) == ("done", 2, 3, 0)
    assert Sale.objects.count() == 6


def test_a_run_after_a_crash_continues_without_duplicates(upload_file, monkeypatch):
    upload = upload_file(HEADER + lines(1, 10))
    insert_new, batches = importer.insert_new, []

    def crash_in_third_batch(sales, upload):
        batches.append(insert_new(sales, upload))
        if len(batches) == 3:
            raise MemoryError
        return batches[-1]

    monkeypatch.setattr(importer, "insert_new", crash_in_third_batch)
    with pytest.raises(MemoryError):
        importer.run(upload.pk)
    upload.refresh_from_db()
    assert (counts(upload), upload.lines) == (("running", 6, 0, 0), 7)
    assert Sale.objects.count() == 6

    importer.run(upload.pk)

    upload.refresh_from_db()
    assert counts(upload) == ("done", 10, 0, 0)
    assert Sale.objects.count() == 10


def test_one_of_two_runs_at_the_same_position_continues(upload_file, monkeypatch):
    upload = upload_file(HEADER + lines(1, 7))
    parse = importer.parse

    def let_another_run_save_this_batch(lines, columns, own):
        monkeypatch.setattr(importer, "parse", parse)
        other = Upload.objects.get(pk=upload.pk)
        _, found = records.open_records(other)
        assert importer.save_batch(other, parse(list(islice(found, 3)), columns, other), found)
        return parse(lines, columns, own)

    monkeypatch.setattr(importer, "parse", let_another_run_save_this_batch)

    importer.run(upload.pk)
    upload.refresh_from_db()
    assert counts(upload) == ("running", 3, 0, 0)

    importer.run(upload.pk)
    upload.refresh_from_db()
    assert counts(upload) == ("done", 7, 0, 0)


def test_a_canceled_import_stops_before_its_next_batch_and_keeps_its_sales(
    upload_file, monkeypatch
):
    upload = upload_file(HEADER + lines(1, 10))
    parse, calls = importer.parse, []

    def cancel_in_second_batch(*args):
        calls.append(args)
        if len(calls) == 2:
            assert services.cancel(upload)
        return parse(*args)

    monkeypatch.setattr(importer, "parse", cancel_in_second_batch)

    importer.run(upload.pk)

    upload.refresh_from_db()
    assert counts(upload) == ("canceled", 3, 0, 0)
    assert Sale.objects.count() == 3
    assert not UploadChunk.objects.exists()
    assert not Notification.objects.exists()


def test_a_canceled_import_never_starts(upload_file):
    upload = upload_file(HEADER + lines(1, 10))
    assert services.cancel(upload)

    importer.run(upload.pk)

    assert not Sale.objects.exists()
    assert not services.cancel(upload)


def test_sales_are_imported_without_redis(upload_file, redis_server):
    upload = upload_file(HEADER + lines(1, 4))
    redis_server.stop()

    importer.run(upload.pk)

    assert Sale.objects.count() == 4


def test_each_batch_takes_the_same_number_of_queries(upload_file, django_assert_max_num_queries):
    upload = upload_file(HEADER + lines(1, 30))

    # Ten batches: savepoints, two selects, insert and update. Also the chunks, start and finish.
    with django_assert_max_num_queries(10 * 6 + UploadChunk.objects.count() + 15):
        importer.run(upload.pk)


def test_reading_keeps_one_chunk_in_memory(upload_file):
    upload = upload_file(HEADER + lines(1, 100))
    _, found = records.open_records(upload)
    file = found.file.raw

    next(found)
    assert 0 <= file.number < UploadChunk.objects.count() // 10
    for _ in found:
        assert len(file.content) <= records.CHUNK_SIZE
