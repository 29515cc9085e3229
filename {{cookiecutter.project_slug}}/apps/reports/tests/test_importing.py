from datetime import date
from decimal import Decimal
from itertools import islice

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from apps.notifications.models import Notification
from apps.reports import importing, records, services
from apps.reports.models import Sale, Upload, UploadChunk
from durable.tasks.progress import get_progress

pytestmark = pytest.mark.django_db

HEADER = "external_id,sold_on,product,quantity,amount\n"


@pytest.fixture
def user(django_user_model):
    return django_user_model.objects.create_user("ann@example.com")


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch):
    monkeypatch.setattr(importing, "LINES_AT_ONCE", 3)
    monkeypatch.setattr(records, "CHUNK", 64)
    monkeypatch.setattr(records, "LONGEST", 500)


@pytest.fixture
def bring(user):
    """Put a file into the database."""

    def bring(content):
        content = content if isinstance(content, bytes) else content.encode()
        return services.import_file(user, SimpleUploadedFile("sales.csv", content))

    return bring


@pytest.fixture
def imported(bring):
    """Import a file, and return its upload."""

    def imported(content):
        upload = bring(content)
        importing.run(upload.pk)
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


def test_the_file_is_kept_in_chunks_until_it_is_done_with(bring):
    upload = bring(HEADER + lines(1, 10))
    assert UploadChunk.objects.count() == -(-upload.size // records.CHUNK)

    importing.run(upload.pk)

    assert not UploadChunk.objects.exists()


def test_the_user_is_told_once(imported, user):
    upload = imported(HEADER + lines(1, 2))
    importing.run(upload.pk)

    notification = Notification.objects.get()
    assert (notification.user, notification.url) == (user, upload.get_absolute_url())
    assert get_progress(str(upload.pk)).percent == 100


def test_columns_may_come_in_any_order_with_others_between(imported):
    upload = imported(
        "Amount,note,product,quantity,sold_on, external_id,note\n5,x,Pen,1,2024-01-01,a,y\n"
    )

    assert upload.state == "done"
    assert Sale.objects.get().amount == 5


def test_a_mark_at_the_start_and_line_ends_of_windows_are_no_part_of_a_cell(imported):
    imported(b"\xef\xbb\xbf" + (HEADER + lines(1, 5)).replace("\n", "\r\n").encode())

    assert Sale.objects.count() == 5


def test_a_line_break_between_quotes_belongs_to_the_cell_wherever_chunks_and_steps_end(imported):
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
        ("b,2024-01-01,Pen,1", "cells: 4, in the first line: 5"),
        ('b,2024-01-01,"Pen"cil,1,1', "',' expected after '\"'"),
        ('b,2024-01-01,"Pen,1,1', "unexpected end of data"),
        (f"b,2024-01-01,{'x' * 1_200},1,1", "is longer than 500 bytes"),
        (b"b,2024-01-01,Caf\xe9,1,1", "is not UTF-8"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_bad_line_is_reported_by_its_number_and_costs_no_other(imported, line, reason):
    line = line if isinstance(line, bytes) else line.encode()
    upload = imported(
        HEADER.encode() + b"a,2024-01-01,Pen,1,1\n" + line + b"\n" + lines(1, 3).encode()
    )

    (bad_line,) = upload.bad_lines
    assert bad_line[0] == 3
    assert reason in bad_line[1]
    assert counts(upload) == ("done", 4, 0, 1)


def test_a_quote_that_is_never_closed_costs_one_line_of_a_long_file(imported):
    upload = imported(f'{HEADER}b,2024-01-01,"Pen,1,1\n{lines(1, 30)}')

    assert counts(upload) == ("done", 30, 0, 1)


def test_of_many_bad_lines_the_first_are_kept(imported, monkeypatch):
    monkeypatch.setattr(importing, "MOST_BAD_LINES", 4)

    upload = imported(HEADER + "bad\n" * 10)

    assert [number for number, _ in upload.bad_lines] == [2, 3, 4, 5]
    assert upload.bad == 10


@pytest.mark.parametrize(
    ("content", "error"),
    [
        ("", "The first line, which has to name the columns, is missing."),
        ("\n" + HEADER, "Columns that are missing: external_id, sold_on, product"),
        ("external_id;sold_on\n", "separated by commas"),
        ("external_id,sold_on,product,price\n", "Columns that are missing: quantity, amount."),
        (f"Amount,quantity,{HEADER}", "Columns that are named twice: quantity, amount."),
        (HEADER.encode("utf-16"), "is not UTF-8."),
    ],
    ids=[
        "empty",
        "empty first line",
        "other separator",
        "missing columns",
        "columns twice",
        "other encoding",
    ],
)
def test_a_file_that_no_line_of_can_be_understood_says_why(imported, content, error):
    upload = imported(content)

    assert upload.state == "failed"
    assert error in upload.error
    assert error in Notification.objects.get().body

    importing.run(upload.pk)
    assert Notification.objects.count() == 1


def test_a_file_with_columns_alone_is_done_at_once(imported):
    assert counts(imported(HEADER)) == ("done", 0, 0, 0)


def test_what_is_known_is_skipped(imported):
    imported(HEADER + lines(1, 4))

    upload = imported(f"{HEADER}{lines(3, 6)}{lines(6, 6)}")

    assert counts(upload) == ("done", 2, 3, 0)
    assert Sale.objects.count() == 6


def test_a_run_that_breaks_off_is_gone_on_with_and_no_line_comes_twice(bring, monkeypatch):
    upload = bring(HEADER + lines(1, 10))
    insert, steps = importing.insert, []

    def die_in_the_third_step(sales, upload):
        steps.append(insert(sales, upload))
        if len(steps) == 3:
            raise MemoryError
        return steps[-1]

    monkeypatch.setattr(importing, "insert", die_in_the_third_step)
    with pytest.raises(MemoryError):
        importing.run(upload.pk)
    upload.refresh_from_db()
    assert (counts(upload), upload.lines) == (("running", 6, 0, 0), 7)
    assert Sale.objects.count() == 6

    importing.run(upload.pk)

    upload.refresh_from_db()
    assert counts(upload) == ("done", 10, 0, 0)
    assert Sale.objects.count() == 10


def test_of_two_runs_at_the_same_place_one_goes_on(bring, monkeypatch):
    upload = bring(HEADER + lines(1, 7))
    understand = importing.understand

    def let_another_run_take_this_step(taken, columns, mine):
        monkeypatch.setattr(importing, "understand", understand)
        theirs = Upload.objects.get(pk=upload.pk)
        _, found = records.read(theirs)
        assert importing.save(theirs, understand(list(islice(found, 3)), columns, theirs), found)
        return understand(taken, columns, mine)

    monkeypatch.setattr(importing, "understand", let_another_run_take_this_step)

    importing.run(upload.pk)
    upload.refresh_from_db()
    assert counts(upload) == ("running", 3, 0, 0)

    importing.run(upload.pk)
    upload.refresh_from_db()
    assert counts(upload) == ("done", 7, 0, 0)


def test_a_canceled_import_stops_before_its_next_step_and_keeps_what_it_has(bring, monkeypatch):
    upload = bring(HEADER + lines(1, 10))
    understand, calls = importing.understand, []

    def cancel_in_the_second_step(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            assert services.cancel(upload)
        return understand(*arguments)

    monkeypatch.setattr(importing, "understand", cancel_in_the_second_step)

    importing.run(upload.pk)

    upload.refresh_from_db()
    assert counts(upload) == ("canceled", 3, 0, 0)
    assert Sale.objects.count() == 3
    assert not UploadChunk.objects.exists()
    assert not Notification.objects.exists()


def test_a_canceled_import_never_begins(bring):
    upload = bring(HEADER + lines(1, 10))
    assert services.cancel(upload)

    importing.run(upload.pk)

    assert not Sale.objects.exists()
    assert not services.cancel(upload)


def test_without_redis_lines_are_imported_all_the_same(bring, redis_server):
    upload = bring(HEADER + lines(1, 4))
    redis_server.stop()

    importing.run(upload.pk)

    assert Sale.objects.count() == 4


def test_a_step_takes_as_many_statements_as_any_other(bring, django_assert_max_num_queries):
    upload = bring(HEADER + lines(1, 30))

    # Ten steps of savepoints, two looks, the insert and the update; the chunks; begin and end.
    with django_assert_max_num_queries(10 * 6 + UploadChunk.objects.count() + 15):
        importing.run(upload.pk)


def test_reading_keeps_one_chunk_and_one_record_in_memory(bring):
    upload = bring(HEADER + lines(1, 100))
    _, found = records.read(upload)
    file = found.file.raw

    next(found)
    assert 0 <= file.number < UploadChunk.objects.count() // 10
    for _ in found:
        assert len(file.content) <= records.CHUNK
