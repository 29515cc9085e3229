"""Finishes a rendered project: drops what was not chosen, starts git, writes .env, says what next."""

# Without pathlib, whose import takes some of the few milliseconds that rendering may cost.
# ruff: noqa: PTH102, PTH107, PTH109, PTH110, PTH112, PTH118, PTH120, PTH123

import os
import secrets
import subprocess
import sys

# The other hook has looked at the answers, so each fits between two quotes.
FOLDER = "{{ cookiecutter.project_slug }}"
AUTHOR = "{{ cookiecutter.__author_name }}"
AUTHOR_EMAIL = "{{ cookiecutter.author_email }}"

PROVIDER = "{{ cookiecutter.email_provider }}"
QUEUES = "{{ cookiecutter.queues }}"
USE_CHANNELS = "{{ cookiecutter.use_channels }}"
USE_EXAMPLES = "{{ cookiecutter.use_examples }}"
USE_FLOWER = "{{ cookiecutter.use_flower }}"
DEPLOYMENT = "{{ cookiecutter.deployment }}"
CI = "{{ cookiecutter.ci }}"

# Path: whether it stays for these answers.
PARTS: dict[str, bool] = {
    ".dockerignore": DEPLOYMENT in {"compose", "kubernetes"},
    ".github": CI == "github",
    ".gitlab-ci.yml": CI == "gitlab",
    "Dockerfile": DEPLOYMENT in {"compose", "kubernetes"},
    "apps/bookings": USE_EXAMPLES == "True",
    "apps/contact": USE_EXAMPLES == "True",
    "apps/invitations": USE_EXAMPLES == "True",
    "apps/live": USE_CHANNELS == "True",
    "apps/orders": USE_EXAMPLES == "True",
    "apps/reports": USE_EXAMPLES == "True",
    "compose.yaml": DEPLOYMENT == "compose",
    "config/asgi.py": USE_CHANNELS == "True",
    "config/flower.py": USE_FLOWER == "True",
    "deploy": DEPLOYMENT != "compose",
    "deploy/kubernetes": DEPLOYMENT == "kubernetes",
    "deploy/systemd": DEPLOYMENT == "systemd",
    "deploy/systemd/flower.service": USE_FLOWER == "True",
    "docs/examples.md": USE_EXAMPLES == "True",
    "docs/live.md": USE_CHANNELS == "True",
    "docs/queues_by_priority.md": QUEUES == "by_priority",
    "docs/queues_by_workload.md": QUEUES == "by_workload",
    "docs/queues_single.md": QUEUES == "single",
    "durable/tests/providers/amazon_ses.py": PROVIDER == "amazon_ses",
    "durable/tests/providers/brevo.py": PROVIDER == "brevo",
    "durable/tests/providers/mailersend.py": PROVIDER == "mailersend",
    "durable/tests/providers/mailgun.py": PROVIDER == "mailgun",
    "durable/tests/providers/mailjet.py": PROVIDER == "mailjet",
    "durable/tests/providers/mailtrap.py": PROVIDER == "mailtrap",
    "durable/tests/providers/mandrill.py": PROVIDER == "mandrill",
    "durable/tests/providers/postal.py": PROVIDER == "postal",
    "durable/tests/providers/postmark.py": PROVIDER == "postmark",
    "durable/tests/providers/resend.py": PROVIDER == "resend",
    "durable/tests/providers/scaleway.py": PROVIDER == "scaleway",
    "durable/tests/providers/sendgrid.py": PROVIDER == "sendgrid",
    "durable/tests/providers/sparkpost.py": PROVIDER == "sparkpost",
    "durable/tests/providers/unisender_go.py": PROVIDER == "unisender_go",
    "durable/tests/providers": PROVIDER != "smtp",
    "config/tests/test_flower.py": USE_FLOWER == "True",
    "durable/tests/test_provider.py": PROVIDER != "smtp",
    "durable/tests/test_provider_reports.py": PROVIDER not in {"smtp", "scaleway"},
    "config/tests/test_queues_by_priority.py": QUEUES == "by_priority",
    "config/tests/test_queues_by_workload.py": QUEUES == "by_workload",
}

# Nothing in the user's own git configuration may stop or hold up the first commit. Its files go
# into one pack instead of one file each, neither compressed nor forced to the disk.
GIT_SETTINGS = (
    "commit.gpgSign=false",
    f"core.hooksPath={os.devnull}",
    "core.fsmonitor=false",
    "maintenance.auto=false",
    "core.bigFileThreshold=1",
    "core.compression=0",
    "core.fsync=none",
)
# Set while a hook of another repository runs, which is not the one to commit to.
OTHER_REPOSITORY = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}

# zlib takes new memory for each file, and glibc would ask the system for it each time.
MEMORY = {"MALLOC_TOP_PAD_": "16777216"}  # bytes

# Command or file: what it is for, and whether it is for these answers.
NEXT_STEPS = (
    (f"cd {FOLDER}", "", True),
    ("make dev", "start everything on this machine", True),
    ("make up", "start everything in containers", DEPLOYMENT == "compose"),
    ("make test", "run the tests", True),
    ("make help", "list all commands", True),
    ("docs/email.md", f"what {PROVIDER} needs to deliver mail", True),
    ("docs/deploying.md", f"how it gets to {DEPLOYMENT}", DEPLOYMENT != "compose"),
)


def drop(parts: dict[str, bool]) -> None:
    """Remove every file and folder of `parts` that does not stay."""
    for path in (path for path, stays in parts.items() if not stays):
        if os.path.isdir(path):
            import shutil  # noqa: PLC0415 - only where a folder goes

            shutil.rmtree(path)
        elif os.path.exists(path):
            os.remove(path)


def git(*arguments: str) -> None:
    """Run git.

    Raises:
        OSError: git is not installed.
        subprocess.SubprocessError: git failed, or took longer than a minute.
    """
    settings = [part for setting in GIT_SETTINGS for part in ("-c", setting)]
    environment = {k: v for k, v in os.environ.items() if k not in OTHER_REPOSITORY}
    subprocess.run(
        ["git", *settings, *arguments],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=60,
        env={**environment, **MEMORY},
    )


def is_in_repository(folder: str) -> bool:
    """Say whether a folder or one above it is a git repository."""
    above = os.path.dirname(folder)
    return os.path.exists(os.path.join(folder, ".git")) or (
        above != folder and is_in_repository(above)
    )


def commit() -> None:
    """Commit as the user whom git knows by name and address, otherwise as the project's author."""
    arguments = ("commit", "--quiet", "--message=Render the project")
    try:
        git("-c", "user.useConfigOnly=true", *arguments)
    except subprocess.CalledProcessError:
        git("-c", f"user.name={AUTHOR}", "-c", f"user.email={AUTHOR_EMAIL}", *arguments)


def add_everything() -> None:
    """Stage all files as they are: git packs none whose line ends it may have to convert.

    They end in the template's own line ends, which are those that .gitattributes asks for.
    """
    os.mkdir(".git/info")
    with open(".git/info/attributes", "w", encoding="utf-8") as file:
        file.write("* -text\n")
    try:
        git("add", "--all")
    finally:
        os.remove(".git/info/attributes")


def start_repository() -> None:
    """Start a repository with everything in its first commit, unless the folder is in one."""
    if is_in_repository(os.getcwd()):
        return
    try:
        git("init", "--quiet", "--initial-branch=main", "--template=")
        add_everything()
        commit()
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", b"") or b"").decode(errors="replace") or str(error)
        print(f"git: no first commit was made: {reason.splitlines()[-1]}", file=sys.stderr)


def write_environment() -> None:
    """Write .env from its example with fresh secrets, for its owner only; keep one that exists."""
    with open(".env.example", encoding="utf-8") as file:
        example = file.read()
    try:
        descriptor = os.open(".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    first, *others = example.split("change-me")
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(first)
        file.writelines(secrets.token_hex(32) + other for other in others)


def say_what_next() -> None:
    """Print the first commands, the commands in bold on a terminal that has colours."""
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.name != "nt"
    bold, plain = ("\033[1;32m", "\033[0m") if coloured else ("", "")
    print("\nThe project is ready. What next:\n")
    for command, purpose, is_for_these_answers in NEXT_STEPS:
        if is_for_these_answers:
            print(f"  {bold}{command:<19}{plain}{purpose}".rstrip())


if __name__ == "__main__":
    drop(PARTS)
    start_repository()
    write_environment()
    say_what_next()
