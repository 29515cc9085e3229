"""The promise of the queues by priority."""

import pytest
from celery import current_app

from durable.testing.workers import Worker, wait_until
from durable.tests import probes

LOW = 1000  # messages that wait

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def single_process(worker):
    worker.kill()
    one = Worker("high", "default", "low", concurrency=1)
    yield one
    one.kill()
    current_app.control.purge()


def test_an_urgent_message_overtakes_a_thousand_that_wait(single_process):
    with current_app.producer_or_acquire() as producer, producer.batch():
        for _ in range(LOW):
            probes.report.apply_async(producer=producer)
    single_process.start()
    wait_until(lambda: len(probes.ran()) >= 10)

    before = len(probes.ran())
    probes.urgent.delay()
    wait_until(lambda: "urgent" in probes.ran())

    # The running one, the prefetched one, and those that ran meanwhile.
    assert probes.ran().index("urgent") - before < LOW / 20
    assert len(probes.ran()) < LOW
