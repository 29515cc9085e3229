"""A payment gateway for development and tests, which charges no one."""

import errno
import json
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand

HOSTS = ("127.0.0.1", "localhost")
RESPONSE_DELAY = 60  # seconds; longer than the service waits for a response
PORT_RETRY_DELAY = 2  # seconds

# The cents of an amount select a failure.
UNAVAILABLE, DECLINED, DELAYED = "01", "02", "03"
HELP = """\
Fake payments at {url}. The cents of an order's total select a failure:
  .01  the first request gets 503 Service Unavailable
  .02  the payment is declined
  .03  the payment is taken, but the first response comes too late"""

Payment = dict[str, str]
Response = tuple[int, dict[str, str]]


def delay_response() -> None:
    time.sleep(RESPONSE_DELAY)


class FakeGateway(ThreadingHTTPServer):
    """Takes each payment once, by its key, and forgets everything when it stops.

    Args:
        port: its port on this machine.
        delay_response: waits before a delayed response.
        log: gets a line for each payment.
    """

    def __init__(
        self,
        port: int,
        delay_response: Callable[[], object] = delay_response,
        log: Callable[[str], object] = str,
    ) -> None:
        super().__init__((HOSTS[0], port), Handler)
        self.delay_response, self.log = delay_response, log
        self.lock = threading.Lock()
        self.requests: Counter[str] = Counter()  # by key
        self.charged: list[str] = []  # the key of each payment that was taken
        self.responses: dict[str, tuple[Payment, Response]] = {}

    def charge(self, key: str, payment: Payment) -> Response:
        """Return status and content of the response to a payment."""
        cents = payment["amount"].rpartition(".")[2]
        with self.lock:
            self.requests[key] += 1
            is_first = self.requests[key] == 1
            if cents == UNAVAILABLE and is_first:
                return 503, {"error": "unavailable"}
            known = self.responses.get(key) or (payment, self.charge_once(key, payment, cents))
            if key:
                self.responses[key] = known
        first_payment, response = known
        if first_payment != payment:
            return 422, {"error": "the key belongs to another payment"}
        if cents == DELAYED and is_first:
            self.delay_response()
        return response

    def charge_once(self, key: str, payment: Payment, cents: str) -> Response:
        """Take or decline a payment with a new key."""
        if cents == DECLINED:
            return 402, {"error": "the card was declined"}
        self.charged.append(key)
        self.log(f"{payment['amount']} {payment['currency']} for {key}")
        return 201, {"id": f"payment-{uuid.uuid4().hex}"}


class Handler(BaseHTTPRequestHandler):
    """One request to the gateway."""

    server: FakeGateway

    def do_POST(self) -> None:
        """Respond, unless the client has gone."""
        content = self.rfile.read(int(self.headers["Content-Length"] or 0))
        status, response = 404, {"error": "payments go to /charges"}
        if self.path == "/charges":
            key = self.headers["Idempotency-Key"] or ""
            status, response = self.server.charge(key, json.loads(content))
        with suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(response).encode())

    def log_message(self, *_: object) -> None:
        """Log nothing; the gateway logs payments."""


class Command(BaseCommand):
    """`manage.py fake_gateway`: takes payments until Ctrl-C, as a line of the Procfile.

    If one process of a Procfile ends, all others are stopped. So this one waits if it has nothing
    to do.
    """

    help = "Take fake payments at PAYMENT_GATEWAY_URL."
    requires_system_checks = ()

    def handle(self, **_: Any) -> None:
        """Listen at PAYMENT_GATEWAY_URL if that is on this machine."""
        url = urlsplit(settings.PAYMENT_GATEWAY_URL)
        with suppress(KeyboardInterrupt):
            if url.hostname not in HOSTS or not url.port:
                self.stdout.write(
                    f"PAYMENT_GATEWAY_URL={url.geturl()} is not on this machine: nothing to do"
                )
                threading.Event().wait()
            else:
                with self.open_gateway(url.port) as gateway:
                    self.stdout.write(HELP.format(url=url.geturl()))
                    gateway.serve_forever()

    def open_gateway(self, port: int) -> FakeGateway:
        """Return the gateway as soon as its port is free."""
        reported = False
        while True:
            try:
                return FakeGateway(port, log=self.stdout.write)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            if not reported:
                self.stdout.write(f"Port {port} is in use, perhaps by another gateway: waiting")
                reported = True
            time.sleep(PORT_RETRY_DELAY)
