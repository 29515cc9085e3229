"""Refuses answers that would render a broken project: one line for each, all of them at once."""

import json
import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import suppress

# JSON escapes every quote inside a text, so three in a row never end this string early.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

CHOICES = {
    "email_provider": [
        "smtp",
        "amazon_ses",
        "brevo",
        "mailersend",
        "mailgun",
        "mailjet",
        "mailtrap",
        "mandrill",
        "postal",
        "postmark",
        "resend",
        "scaleway",
        "sendgrid",
        "sparkpost",
        "unisender_go",
    ],
    "queues": ["by_workload", "by_priority", "single"],
    "use_channels": ["True", "False"],
    "use_flower": ["True", "False"],
    "use_examples": ["True", "False"],
    "deployment": ["compose", "kubernetes", "systemd"],
    "ci": ["github", "gitlab", "none"],
}
LONGEST = {  # characters
    "project_name": 100,
    "project_slug": 32,  # the longest name of a user on Linux
    "description": 300,
    "domain_name": 253,  # RFC 1035
    "author_name": 105,  # the longest project_name, and " team"
    "author_email": 254,  # RFC 5321
    "timezone": 64,
}
# A default that only repeats a refused answer is not reported as well.
REPEATS = {
    "author_name": ("project_name", "{} team"),
    "author_email": ("domain_name", "team@{}"),
}

SLUG = "[a-z][a-z0-9]*([_-][a-z0-9]+)*"
RESERVED_ON_WINDOWS = "con|prn|aux|nul|com[1-9]|lpt[1-9]"
LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
DOMAIN = rf"({LABEL}\.)*(?![0-9]+$){LABEL}"
WORD = "[a-z0-9!#$%&'*+/=?^_`|~-]+"
EMAIL = "(?=[^@]{1,64}@)" + rf"{WORD}(\.{WORD})*@{DOMAIN}"
AREA = "Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian|Pacific"
ZONE = f"({AREA})" + "(/[A-Za-z_-]+){1,2}"
TEMPLATE_SYNTAX = "{[%#{]|^# %"

LONGEST_SHOWN = 60  # characters; a message fits on one line of a terminal
ZERO_WIDTH_JOINERS = "\u200c\u200d"  # they belong to Persian words and to many emoji


def is_unprintable(character: str) -> bool:
    """Say whether a character breaks lines, hides, reorders text, or is refused by YAML."""
    hidden = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return (hidden and character not in ZERO_WIDTH_JOINERS) or character in "\ufffe\uffff"


def text_faults(answer: str, longest: int) -> Iterator[str]:
    """Yield what is wrong with a text, whatever it is for."""
    if not answer.strip():
        yield "is empty; give it at least one letter"
    if answer != answer.strip():
        yield "begins or ends with a blank; take it out"
    if len(answer) > longest:
        yield f"has {len(answer)} characters; shorten it to {longest}"
    if unprintable := next(filter(is_unprintable, answer), ""):
        yield f"holds U+{ord(unprintable):04X}, which does not print; take it out"
    if re.search(TEMPLATE_SYNTAX, answer):
        yield "holds template syntax, which an update would run; take out the opening brace or # %"


def slug_faults(answer: str) -> Iterator[str]:
    """Yield why a text cannot name a folder, a database and a container everywhere."""
    if not re.fullmatch(SLUG, answer):
        yield (
            "is not a short name; use lower-case letters and digits, a letter first,"
            " and a single _ or - between words"
        )
    if re.fullmatch(RESERVED_ON_WINDOWS, answer):
        yield "is a device on Windows, where no folder can have that name; choose another"
    if answer.startswith("pg_"):
        yield "begins with pg_, which PostgreSQL keeps for its own users; choose another"


def domain_faults(answer: str) -> Iterator[str]:
    """Yield why a text is not a domain name."""
    if not re.fullmatch(DOMAIN, answer):
        yield (
            "is not a domain name; write it like example.com: in lower case, without scheme,"
            " port or path, and other alphabets in punycode (xn--...)"
        )


def email_faults(answer: str) -> Iterator[str]:
    """Yield why a text is not an email address."""
    if not re.fullmatch(EMAIL, answer, re.ASCII | re.IGNORECASE):
        yield "is not an email address; write it like team@example.com"


def cities() -> set[str]:
    """Return the time zones that are named after a city; none where there is no zone database."""
    import zoneinfo  # noqa: PLC0415

    for folder in zoneinfo.TZPATH:
        # Old names, such as Asia/Calcutta, are not in this table.
        with suppress(OSError), open(f"{folder}/zone.tab", encoding="utf-8") as table:  # noqa: PTH123
            return {line.split()[2] for line in table if not line.startswith("#")}
    return {zone for zone in zoneinfo.available_timezones() if re.fullmatch(ZONE, zone)}


def timezone_faults(answer: str) -> Iterator[str]:
    """Yield why a text is neither UTC nor a city's time zone, which are all that Debian's images know.

    Without a zone database, only its form is looked at.
    """
    if answer == "UTC":
        return
    # Only here, since this import and that of the zones take some milliseconds.
    import difflib  # noqa: PLC0415

    zones = cities()
    if answer in zones or (not zones and re.fullmatch(ZONE, answer)):
        return
    close = difflib.get_close_matches(answer, zones, 1, cutoff=0.8)
    yield "is neither UTC nor the time zone of a city; " + (
        f"did you mean {close[0]}?" if close else "write it like America/New_York"
    )


def faults(question: str, answer: str) -> Iterator[str]:
    """Yield what is wrong with an answer, the plainest fault first."""
    if question in CHOICES:
        if answer not in CHOICES[question]:
            yield f"is not one of {', '.join(CHOICES[question])}"
        return
    yield from text_faults(answer, LONGEST[question])
    if question in FORMS:
        yield from FORMS[question](answer)


FORMS = {
    "project_slug": slug_faults,
    "domain_name": domain_faults,
    "author_email": email_faults,
    "timezone": timezone_faults,
}


def repeats_refused(question: str, answer: str, refused: dict[str, str]) -> bool:
    """Say whether an answer is the default made from an answer that is refused already."""
    source, pattern = REPEATS.get(question, ("", ""))
    return source in refused and answer == pattern.format(ANSWERS[source])


def shown(answer: str) -> str:
    """Return an answer in quotes, on one line and not too long for it."""
    short = answer if len(answer) <= LONGEST_SHOWN else answer[:LONGEST_SHOWN] + "..."
    return json.dumps(short, ensure_ascii=any(map(is_unprintable, short)))


def problems() -> dict[str, str]:
    """Return one line for each question whose answer is refused."""
    found: dict[str, str] = {}
    for question in [*LONGEST, *CHOICES]:
        answer = str(ANSWERS[question])
        fault = next(faults(question, answer), None)
        if fault and not repeats_refused(question, answer, found):
            found[question] = f"{question}: {shown(answer)} {fault}"
    return found


if __name__ == "__main__" and (found := problems()):
    sys.exit("\n".join(found.values()))
