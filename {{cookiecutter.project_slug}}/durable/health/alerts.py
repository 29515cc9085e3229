"""Reports problems of the service to staff, for services without Prometheus.

Beat checks every minute. Web checks with its requests, which include the probes of the platform. So each
of them reports that the other is down. A check needs no broker, no queue and no worker, and the email
goes straight to the provider.
"""

import time
from datetime import datetime, timedelta
from email.utils import make_msgid

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.utils import timezone

from durable.conf import conf
from durable.health import problems, readiness
from durable.health.checks import address_of
from durable.health.models import LastCheck, Problem
from durable.health.parts import start
from durable.health.signals import health_changed
from durable.mail import connection
from durable.mail.addresses import ascii_domain, is_address
from durable.text import describe_error

logger = structlog.get_logger(__name__)

MAX_SUBJECT = 150  # characters
RETRY = timedelta(minutes=10)  # after an error with which the email may have been sent
FOOTER = "See /console/ of the service, and docs/alerts.md for what to do."


class Web:
    """When this web process checks next."""

    next_check = 0.0  # seconds of the monotonic clock


def check_soon() -> None:
    """Check in a thread, unless this process did a moment ago. Each request calls this."""
    if not conf.HEALTH_CHECK_INTERVAL or time.monotonic() < Web.next_check:
        return
    Web.next_check = time.monotonic() + conf.HEALTH_CHECK_INTERVAL.total_seconds()
    try:
        start("health-check", check_in_thread)
    except RuntimeError as error:  # no thread is free: the request goes on
        logger.warning("health_check_failed", error=describe_error(error))


def check_in_thread() -> None:
    """Check, with a database connection for this thread only."""
    try:
        with readiness.database():
            check()
    except Exception as error:  # noqa: BLE001 - such as a database that is down; the next check comes soon
        logger.warning("health_check_failed", error=describe_error(error))


def check() -> int:
    """Check the service, unless another process did a moment ago; report what is wrong.

    Returns:
        the number of problems.

    Raises:
        django.db.Error: the database does not answer.
    """
    now = timezone.now()
    if not conf.HEALTH_CHECK_INTERVAL or not LastCheck.objects.claim(
        now, conf.HEALTH_CHECK_INTERVAL
    ):
        return 0
    found, queues_known = problems.find()
    for name, text in found.items():
        Problem.objects.record(name, text, now)
    over = list(Problem.objects.end(names_of_others(found, queues_known=queues_known)))
    notify(now, over)
    mail(now, over)
    Problem.objects.forget(now)
    return len(found)


def names_of_others(found: dict[str, str], *, queues_known: bool) -> list[str]:
    """Return the problems that are not over: those found, and while the broker is down, those of queues."""
    if queues_known:
        return list(found)
    stuck = Problem.objects.filter(name__startswith=problems.QUEUE)
    return [*found, *stuck.values_list("name", flat=True)]


def notify(now: datetime, over: list[Problem]) -> None:
    """Log the problems, and send the signal."""
    for problem in Problem.objects.claim("notified_at", now):
        state = "lasting" if problem.was_reported(problem.notified_at) else "begun"
        logger.warning("health_problem", problem=problem.name, state=state, detail=problem.text)
        send_signal(problem, state)
    for problem in over:
        if problem.was_reported(problem.notified_at):
            logger.info("health_problem_over", problem=problem.name)
            send_signal(problem, "over")


def send_signal(problem: Problem, state: str) -> None:
    """Send the signal; an error of a receiver is logged by Django, and stops nothing."""
    health_changed.send_robust(Problem, problem=problem.name, state=state, text=problem.text)


def mail(now: datetime, over: list[Problem]) -> None:
    """Send one email about all problems to report; if it fails, a later check tries again, except for an end."""
    admins = addresses()
    if not admins:
        return
    due = list(Problem.objects.claim("mailed_at", now))
    ended = [problem for problem in over if problem.was_reported(problem.mailed_at)]
    if not due and not ended:
        return
    try:
        connection.send(message(admins, due, ended))
    except Exception as error:  # noqa: BLE001 - whatever the provider raises, the notifications are there
        logger.warning("health_alert_not_mailed", error=describe_error(error))
        wait = not isinstance(error, ConnectionError)
        for problem in due:
            at = now - conf.PROBLEM_INTERVAL + RETRY if wait else problem.mailed_at
            Problem.objects.filter(pk=problem.pk, mailed_at=now).update(mailed_at=at)
    finally:
        connection.close()  # this thread ends


def addresses() -> list[str]:
    """Return the valid addresses of ADMINS; a check reports the others."""
    return [address for address in map(address_of, settings.ADMINS) if is_address(address)]


def message(to: list[str], due: list[Problem], ended: list[Problem]) -> EmailMultiAlternatives:
    """Return the email about problems to report, and about those that are over."""
    lines = [f"{problem.name}, since {since(problem)}:\n{problem.text}\n" for problem in due]
    lines += [f"{problem.name}: resolved. It began at {since(problem)}.\n" for problem in ended]
    names = ", ".join(problem.name for problem in due or ended)
    subject = f"{settings.EMAIL_SUBJECT_PREFIX}{'Problem' if due else 'Resolved'}: {names}"
    return EmailMultiAlternatives(
        " ".join(subject.split())[:MAX_SUBJECT],
        "\n".join([*lines, FOOTER]),
        settings.SERVER_EMAIL,
        to,
        # Python's own would ask the network for the name of this machine.
        headers={"Message-ID": make_msgid(domain=ascii_domain(settings.SERVER_EMAIL))},
    )


def since(problem: Problem) -> str:
    """Return when a problem began, for people."""
    begun = timezone.localtime(problem.begun_at)
    return f"{begun:%Y-%m-%d %H:%M %Z}"
