"""The promise of the queues by workload."""

import pytest
from celery import current_app

from durable.mail.api import send_email
from durable.mail.models import Email
from durable.testing.workers import Worker, wait_until
from durable.tests import probes

HALF_AN_HOUR = 1800  # seconds

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def workers(worker):
    worker.kill()
    workers = [Worker("reports", concurrency=1), Worker("emails", concurrency=1)]
    for one in workers:
        one.start()
    yield workers
    for one in workers:
        one.kill()
    current_app.control.purge()


def test_a_report_of_half_an_hour_delays_no_mail(workers, mailbox):
    for _ in range(3):
        probes.report.delay(HALF_AN_HOUR)
    wait_until(lambda: probes.ran() == ["report"])

    send_email("test_email", "ann@example.com")

    wait_until(lambda: Email.objects.filter(status="sent").exists())
    assert probes.ran() == ["report"]
