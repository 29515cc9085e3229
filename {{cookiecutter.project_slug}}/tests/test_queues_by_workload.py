"""What the layout by workload promises."""

import pytest
from celery import current_app

from apps.mail.models import Email
from apps.mail.services import send_email
from tests import probes
from tests.workers import Worker, wait_until

HALF_AN_HOUR = 1800  # seconds

pytestmark = pytest.mark.usefixtures("committed_db")


@pytest.fixture
def workers(worker):
    """The running worker without the reports, and one for these alone, with a single process."""
    reports = Worker("reports", concurrency=1)
    reports.start()
    current_app.control.cancel_consumer("reports", reply=True, limit=1)
    yield worker, reports
    for one in (worker, reports):
        one.kill()


def test_a_report_of_half_an_hour_delays_no_mail(workers, mailbox):
    for _ in range(3):
        probes.report.delay(HALF_AN_HOUR)
    wait_until(lambda: probes.ran() == ["report"])

    send_email("test_email", "ann@example.com")

    wait_until(lambda: Email.objects.filter(status="sent").exists(), patience=5)
    assert probes.ran() == ["report"]
