"""A payment gateway that takes nobody's money, for development and tests."""

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
LATE = 60  # seconds; longer than the service waits for an answer
LOOK_AGAIN = 2  # seconds

# What the cents of an amount bring about.
OUT_OF_ORDER, REFUSED, ANSWERS_LATE = "01", "02", "03"
HELP = """\
Payments are taken at {url}, and cost nothing. The cents of an order's total make trouble:
  .01  the gateway is out of order when it is asked first
  .02  it refuses the payment
  .03  it takes the payment, and its first answer comes too late"""

Payment = dict[str, str]
Answer = tuple[int, dict[str, str]]


def be_late() -> None:
    """Wait until nobody waits any more."""
    time.sleep(LATE)


class FakeGateway(ThreadingHTTPServer):
    """Takes a payment once for each key, as gateways do, and forgets all when it ends.

    Args:
        port: where it listens, on this machine only.
        be_late: waits before an answer that comes too late.
        say: takes a line for each payment.
    """

    def __init__(
        self,
        port: int,
        be_late: Callable[[], object] = be_late,
        say: Callable[[str], object] = str,
    ) -> None:
        super().__init__((HOSTS[0], port), Handler)
        self.be_late, self.say = be_late, say
        self.lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.charged: list[str] = []  # the key, each time that money has moved
        self.answers: dict[str, tuple[Payment, Answer]] = {}

    def take(self, key: str, payment: Payment) -> Answer:
        """Take a payment; return the status and the content of the answer."""
        cents = payment["amount"].rpartition(".")[2]
        with self.lock:
            self.asked[key] += 1
            is_first = self.asked[key] == 1
            if cents == OUT_OF_ORDER and is_first:
                return 503, {"error": "out of order"}
            before, answer = self.answers.get(key) or (payment, self.decide(key, payment, cents))
            if key:
                self.answers[key] = before, answer
        if before != payment:
            return 422, {"error": "the key belongs to another payment"}
        if cents == ANSWERS_LATE and is_first:
            self.be_late()
        return answer

    def decide(self, key: str, payment: Payment, cents: str) -> Answer:
        """Take a payment whose key is new, or refuse it."""
        if cents == REFUSED:
            return 402, {"error": "the card was declined"}
        self.charged.append(key)
        self.say(f"{payment['amount']} {payment['currency']} for {key}")
        return 201, {"id": f"payment-{uuid.uuid4().hex}"}


class Handler(BaseHTTPRequestHandler):
    """One request to the gateway."""

    server: FakeGateway

    def do_POST(self) -> None:
        """Answer, unless nobody is there any more."""
        content = self.rfile.read(int(self.headers["Content-Length"] or 0))
        status, answer = 404, {"error": "payments go to /charges"}
        if self.path == "/charges":
            key = self.headers["Idempotency-Key"] or ""
            status, answer = self.server.take(key, json.loads(content))
        with suppress(ConnectionError):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        """Leave it to the gateway what is said."""


class Command(BaseCommand):
    """`manage.py fake_gateway`: takes payments until Ctrl-C, as a line of the Procfile.

    A process of the Procfile that ends, ends all others. So it waits where there is nothing to do.
    """

    help = "Take payments without money, at PAYMENT_GATEWAY_URL."
    requires_system_checks = ()

    def handle(self, **_: Any) -> None:
        """Listen at the port of PAYMENT_GATEWAY_URL, if that is on this machine."""
        url = urlsplit(settings.PAYMENT_GATEWAY_URL)
        with suppress(KeyboardInterrupt):
            if url.hostname not in HOSTS or not url.port:
                self.stdout.write(f"PAYMENT_GATEWAY_URL={url.geturl()}: nothing to do here")
                threading.Event().wait()
            else:
                with self.gateway(url.port) as gateway:
                    self.stdout.write(HELP.format(url=url.geturl()))
                    gateway.serve_forever()

    def gateway(self, port: int) -> FakeGateway:
        """Return the gateway, as soon as no other program has its port."""
        is_told = False
        while True:
            try:
                return FakeGateway(port, say=self.stdout.write)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            if not is_told:
                self.stdout.write(f"Port {port}: another program has it, perhaps another gateway")
                is_told = True
            time.sleep(LOOK_AGAIN)
