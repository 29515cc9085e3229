"""Rejects answers that would render a broken project: one line per answer, all of them at once."""

import difflib
import json
import os
import re
import shlex
import subprocess
import sys
import unicodedata
import zoneinfo
from collections.abc import Iterable, Iterator
from contextlib import suppress
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

# JSON escapes every quote inside a text, so three in a row never end this string early.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")
LITTER = ANSWERS["_left_by_tools"]

MIN_COOKIECUTTER = (2, 7)
# Git sets these while it runs a hook of another repository.
OTHER_REPOSITORY = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX"}

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
MAX_LENGTH = {  # characters
    "project_name": 100,
    "project_slug": 32,  # the longest user name on Linux
    "description": 300,
    "domain_name": 253,  # RFC 1035
    "author_name": 105,  # the longest project_name plus " team"
    "author_email": 254,  # RFC 5321
    "timezone": 64,
}
# A default that only repeats a rejected answer is not reported as well.
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

MAX_SHOWN = 60  # characters; keeps a message on one line of a terminal
ZERO_WIDTH_JOINERS = "\u200c\u200d"  # part of Persian words and of many emoji


def is_unprintable(character: str) -> bool:
    """Return whether a character breaks lines, is invisible, reorders text, or is illegal in YAML."""
    hidden = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return (hidden and character not in ZERO_WIDTH_JOINERS) or character in "\ufffe\uffff"


def text_faults(answer: str, max_length: int) -> Iterator[str]:
    """Yield what is wrong with a text, for any question."""
    if not answer.strip():
        yield "is empty; enter at least one letter"
    if answer != answer.strip():
        yield "begins or ends with a space; remove it"
    if len(answer) > max_length:
        yield f"has {len(answer)} characters; shorten it to {max_length}"
    if unprintable := next(filter(is_unprintable, answer), ""):
        yield f"contains U+{ord(unprintable):04X}, which is not printable; remove it"
    if re.search(TEMPLATE_SYNTAX, answer):
        yield "contains template syntax, which an update would run; remove the opening brace or # %"


def slug_faults(answer: str) -> Iterator[str]:
    """Yield why a text cannot name a folder, a database and a container on every system."""
    if not re.fullmatch(SLUG, answer):
        yield (
            "is not a valid short name; use lower-case letters and digits, start with a letter,"
            " and put a single _ or - between words"
        )
    if re.fullmatch(RESERVED_ON_WINDOWS, answer):
        yield "is a device name on Windows and cannot be a folder there; choose another name"
    if answer.startswith("pg_"):
        yield "begins with pg_, which PostgreSQL reserves for its own users; choose another name"
    if ANSWERS["deployment"] == "kubernetes" and (other := namesake(answer)):
        yield f"and the project {other} beside it get the same names in Kubernetes; choose another name"


def namesake(slug: str) -> str:
    """Return the project beside this one whose name differs by _ and - only; Kubernetes knows no _."""
    names = (path.parent.name for path in Path.cwd().parent.glob("*/manage.py"))
    return next((name for name in names if name != slug and dns(name) == dns(slug)), "")


def dns(slug: str) -> str:
    """Return the name that a project has in Kubernetes."""
    return slug.replace("_", "-")


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
    """Return the time zones that are named after a city; none if there is no time zone database."""
    for folder in zoneinfo.TZPATH:
        # Old names, such as Asia/Calcutta, are not in this table.
        with suppress(OSError):
            table = (Path(folder) / "zone.tab").read_text(encoding="utf-8")
            return {line.split()[2] for line in table.splitlines() if not line.startswith("#")}
    return {zone for zone in zoneinfo.available_timezones() if re.fullmatch(ZONE, zone)}


def timezone_faults(answer: str) -> Iterator[str]:
    """Yield why a text is neither UTC nor the time zone of a city; Debian's images know no others.

    Without a time zone database, only the form is checked.
    """
    zones = cities()
    if answer == "UTC" or answer in zones or (not zones and re.fullmatch(ZONE, answer)):
        return
    close = difflib.get_close_matches(answer, zones, 1, cutoff=0.8)
    yield "is neither UTC nor the time zone of a city; " + (
        f"did you mean {close[0]}?" if close else "write it like America/New_York"
    )


def faults(question: str, answer: str) -> Iterator[str]:
    """Yield what is wrong with an answer, the most obvious fault first."""
    if question in CHOICES:
        if answer not in CHOICES[question]:
            yield f"is not one of {', '.join(CHOICES[question])}"
        return
    yield from text_faults(answer, MAX_LENGTH[question])
    if question in FORMS:
        yield from FORMS[question](answer)


FORMS = {
    "project_slug": slug_faults,
    "domain_name": domain_faults,
    "author_email": email_faults,
    "timezone": timezone_faults,
}


def repeats_rejected(question: str, answer: str, rejected: dict[str, str]) -> bool:
    """Return whether an answer is the default made from an answer that is already rejected."""
    source, pattern = REPEATS.get(question, ("", ""))
    return source in rejected and answer == pattern.format(ANSWERS[source])


def quoted(answer: str) -> str:
    """Return an answer in quotes, on one line, shortened if it is long."""
    short = answer if len(answer) <= MAX_SHOWN else answer[:MAX_SHOWN] + "..."
    return json.dumps(short, ensure_ascii=any(map(is_unprintable, short)))


def problems() -> dict[str, str]:
    """Return one line for each question whose answer is rejected."""
    found: dict[str, str] = {}
    for question in [*MAX_LENGTH, *CHOICES]:
        answer = str(ANSWERS[question])
        fault = next(faults(question, answer), None)
        if fault and not repeats_rejected(question, answer, found):
            found[question] = f"{question}: {quoted(answer)} {fault}"
    return found


def left_by_tools() -> Iterator[Path]:
    """Yield the caches, environments and editor files in the project, without what they contain."""
    for folder, folders, files in os.walk("."):
        paths = [Path(folder, name) for name in [*folders, *files]]
        found = [path for path in paths if any(fnmatch(path.as_posix(), each) for each in LITTER)]
        folders[:] = {*folders} - {".git", *(path.name for path in found)}
        yield from found


def not_kept() -> Iterator[Path]:
    """Yield the parts that the answers leave out but the folder has: files of its owner."""
    for name, answers in ANSWERS["_parts"].items():
        path = Path(name)
        is_kept = any(str(ANSWERS[question]) in kept for question, kept in answers.items())
        if path.exists() and not is_kept and not Path(f"{name}.kept").exists():
            yield path


def set_aside() -> None:
    """Rename what must survive a render over a project; the other hook renames it back.

    Cookiecutter would replace it by what the template has at the same path.
    """
    for path in left_by_tools():
        path.rename(f"{path}.kept")
    for path in not_kept():  # "deploy" comes before "deploy/systemd", which is then gone
        path.rename(f"{path}.kept")


def uncommitted() -> str:
    """Return why a render over this folder could lose work, or nothing."""
    inside = (each / ".git" for each in [Path.cwd(), *Path.cwd().parents])
    if not any(Path.cwd().iterdir()) or not any(each.exists() for each in inside):
        return ""
    command = ["git", "status", "--porcelain", "--untracked-files=all", "--", "."]
    environment = {k: v for k, v in os.environ.items() if k not in OTHER_REPOSITORY}
    try:
        done = subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        return f"git cannot list uncommitted changes in {Path.cwd()}: {error}"
    changes = len(done.stdout.splitlines())
    advice = "commit or stash them, since a render over them would lose them"
    return f"{Path.cwd()}: {changes} files are not committed: {advice}" if changes else ""


def too_old() -> str:
    """Return the complaint about a Cookiecutter that this template does not support, or nothing."""
    version = metadata.version("cookiecutter")
    if tuple(map(int, version.split(".")[:2])) >= MIN_COOKIECUTTER:
        return ""
    return f'Cookiecutter {version} is too old; run it as: uvx "cookiecutter>=2.7"'


def repeat(rejected: Iterable[str]) -> str:
    """Return the command that repeats the render with all answers that are not rejected."""
    good = [f"{name}={ANSWERS[name]}" for name in [*MAX_LENGTH, *CHOICES] if name not in rejected]
    checkout = ["--checkout", ANSWERS["_checkout"]] if ANSWERS.get("_checkout") else []
    template = ANSWERS.get("_template", "TEMPLATE")
    where = ["--output-dir", str(Path.cwd().parent)]
    arguments = ["cookiecutter", "--no-input", *where, *checkout, template, *good]
    quote = subprocess.list2cmdline if os.name == "nt" else shlex.join
    return " ".join([quote(arguments), *(f"{name}=" for name in rejected)])


if __name__ == "__main__":
    if fault := too_old() or uncommitted():
        sys.exit(fault)
    if found := problems():
        corrected = f"Fill in the answers at the end of this command and run it:\n  {repeat(found)}"
        sys.exit("\n".join([*found.values(), "", corrected]))
    set_aside()
