import threading

import pytest
from django.db import connection, transaction

from durable.mail.enqueue import enqueue
from durable.mail.models import Email


def mails(keys):
    return [Email(template="test_email", to="ann@example.com", key=key) for key in keys]


def at_once(*chunks):
    """Enqueue mails with each chunk of keys, each in a transaction and a thread of its own."""
    together, inserted = threading.Barrier(len(chunks)), []

    def run(keys):
        together.wait()
        try:
            with transaction.atomic():
                inserted.extend(enqueue(mails(keys)))
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(keys,)) for keys in chunks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [email.key for email in inserted]


@pytest.mark.django_db(transaction=True)
def test_transactions_with_the_same_key_insert_one_row():
    assert at_once(*[["key-1"]] * 8) == ["key-1"]
    assert Email.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_transactions_with_some_of_the_same_keys_insert_each_once():
    keys = [f"key-{number}" for number in range(50)]

    inserted = at_once(keys, keys[::-1], [*keys[20:], "another"])

    assert sorted(inserted) == sorted([*keys, "another"])
    assert Email.objects.count() == len(inserted)


@pytest.mark.django_db
def test_keys_are_inserted_in_one_order_so_that_transactions_do_not_deadlock():
    assert [email.key for email in enqueue(mails(["b", None, "a"]))] == [None, "a", "b"]
