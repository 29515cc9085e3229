"""Decides which request can read `/metrics`: one with the token, from one of the networks."""

from collections.abc import Iterator
from hmac import compare_digest
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from django.core.cache import caches
from django.core.checks import CheckMessage, Error, register
from django.http import HttpRequest, HttpResponse

from durable.cache import RedisCache
from durable.conf import conf
from durable.tasks import metrics

MIN_TOKEN = 32  # characters, too many to guess: `openssl rand -hex 16` prints as many
HINTS = {
    "METRICS_TOKEN": "`openssl rand -hex 32` prints a good one.",
    "METRICS_NETWORKS": "Write networks such as 10.0.0.0/8, separated by commas.",
    "CACHES": "Use durable.cache.RedisCache: workers store their numbers in it.",
}


def refusal(request: HttpRequest) -> HttpResponse | None:
    """Return the response to a request that may not read the metrics, or None."""
    if conf.METRICS_TOKEN and not has_token(request):
        headers = {"WWW-Authenticate": 'Bearer realm="metrics"'}
        return HttpResponse("The token is missing or wrong.\n", "text/plain", 401, headers=headers)
    if conf.METRICS_NETWORKS and not is_of_network(request):
        return HttpResponse("METRICS_NETWORKS lacks this address.\n", "text/plain", 403)
    return None


def has_token(request: HttpRequest) -> bool:
    """Whether a request carries the token; the time to answer does not depend on how much of it is right."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    expected = conf.METRICS_TOKEN.encode(errors="replace")
    return scheme.lower() == "bearer" and compare_digest(token.encode(errors="replace"), expected)


def is_of_network(request: HttpRequest) -> bool:
    """Whether a request comes from one of the networks, and not through a proxy, whose address it would have."""
    if "X-Forwarded-For" in request.headers:
        return False
    try:
        address = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:  # as through a Unix socket
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in networks())


def networks() -> Iterator[IPv4Network | IPv6Network]:
    """Yield the networks of METRICS_NETWORKS that are some."""
    for text in conf.METRICS_NETWORKS:
        try:
            yield ip_network(text)
        except ValueError:  # the check reports it
            continue


@register("metrics")
def check_metrics(**_: Any) -> list[CheckMessage]:
    """Check the settings of `/metrics`."""
    return [
        Error(f"{name}: {fault}", hint=HINTS[name], id="metrics.E001") for name, fault in faults()
    ]


def faults() -> Iterator[tuple[str, str]]:
    """Yield the settings that are wrong, and what is wrong; never the token itself."""
    token = conf.METRICS_TOKEN
    if token and len(token) < MIN_TOKEN:
        yield "METRICS_TOKEN", f"it has {len(token)} characters, and {MIN_TOKEN} are needed"
    if not all("!" <= character <= "~" for character in token):
        yield "METRICS_TOKEN", "a blank or a character that is not ASCII cannot be sent"
    for text in conf.METRICS_NETWORKS:
        try:
            network = ip_network(text)
        except ValueError as error:
            yield "METRICS_NETWORKS", str(error)
        else:
            if network.prefixlen == 0 and not token:
                yield "METRICS_NETWORKS", f"{text} is every address: use METRICS_TOKEN"
    if metrics.enabled() and not isinstance(caches["default"], RedisCache):
        yield "CACHES", "the default cache is not the engine's"
