"""Finishes a rendered project: removes what was not chosen, starts git, writes .env, prints the next steps."""

import json
import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

# The other hook has checked the answers, so each fits between two quotes.
FOLDER = "{{ cookiecutter.project_slug }}"
AUTHOR = "{{ cookiecutter.__author_name }}"
AUTHOR_EMAIL = "{{ cookiecutter.author_email }}"

PROVIDER = "{{ cookiecutter.email_provider }}"
DEPLOYMENT = "{{ cookiecutter.deployment }}"
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")
LITTER = ANSWERS["_left_by_tools"]

# The user's own git configuration must neither stop the first commit nor leave a file out of it.
GIT_SETTINGS = (
    "commit.gpgSign=false",
    "core.autocrlf=false",
    "core.fsmonitor=false",
    "core.safecrlf=false",
    "core.sparseCheckout=false",
    f"core.attributesFile={os.devnull}",
    f"core.excludesFile={os.devnull}",
    f"core.hooksPath={os.devnull}",
)
# Git sets others while it runs a hook of another repository, which must not get the commit.
GIT_VARIABLES = {
    "GIT_AUTHOR_EMAIL",
    "GIT_AUTHOR_NAME",
    "GIT_COMMITTER_EMAIL",
    "GIT_COMMITTER_NAME",
    "GIT_CONFIG_GLOBAL",
    "GIT_CONFIG_NOSYSTEM",
    "GIT_CONFIG_SYSTEM",
    "GIT_EXEC_PATH",
}

NOT_COMMITTED = (
    "git: no commit was made, because the project is in the repository {top};"
    " CI and .pre-commit-config.yaml work only at the top of that repository: move them there"
)

DEPLOY = {
    "compose": "deploy with Docker Compose",
    "kubernetes": "deploy to Kubernetes",
    "systemd": "deploy to a server with systemd",
}
# Command or page, what it is for, and whether it applies to these answers.
NEXT_STEPS = (
    (f"cd {FOLDER}", "", True),
    ("make dev", "start everything on this machine", True),
    ("make up", "start everything in containers", DEPLOYMENT == "compose"),
    ("make test", "run the tests", True),
    ("make help", "list all commands", True),
    ("docs/email.md", "connect your SMTP server", PROVIDER == "smtp"),
    ("docs/email.md", "connect your email provider", PROVIDER != "smtp"),
    ("docs/deploying.md", DEPLOY[DEPLOYMENT], True),
)


def remove(path: Path) -> None:
    """Remove a file or a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def drop(parts: dict[str, dict[str, list[str]]]) -> None:
    """Remove what this render wrote but the answers leave out; restore what was there before."""
    dropped = [
        name
        for name, answers in parts.items()
        if not any(str(ANSWERS[question]) in kept for question, kept in answers.items())
    ]
    for name in dropped:
        remove(Path(name))
    for name in dropped:
        restore(Path(f"{name}.kept"))


def restore(path: Path) -> None:
    """Give a file or folder that the other hook renamed its own name again."""
    if path.exists() or path.is_symlink():
        path.rename(path.with_suffix(""))


def matches(patterns: list[str]) -> Iterator[Path]:
    """Yield the files and folders that match a pattern, without what such a folder contains."""
    for folder, folders, files in os.walk("."):
        paths = [Path(folder, name) for name in [*folders, *files]]
        found = [path for path in paths if any(fnmatch(path.as_posix(), each) for each in patterns)]
        folders[:] = {*folders} - {".git", *(path.name for path in found)}
        yield from found


def remove_litter() -> None:
    """Remove what tools left in the template, and restore what they left in an existing project."""
    kept = [f"{each}.kept" for each in LITTER]
    for path in sorted(matches([*LITTER, *kept])):  # "var" comes before "var.kept"
        if path.suffix == ".kept":
            path.rename(path.with_suffix(""))
        else:
            remove(path)


def git(*arguments: str) -> None:
    """Run git.

    Raises:
        OSError: git is not installed.
        subprocess.SubprocessError: git failed, or took longer than a minute.
    """
    settings = [part for setting in GIT_SETTINGS for part in ("-c", setting)]
    environment = {k: v for k, v in os.environ.items() if k in GIT_VARIABLES or k[:4] != "GIT_"}
    subprocess.run(
        ["git", *settings, *arguments],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        timeout=60,
        env={**environment, "GIT_ATTR_NOSYSTEM": "1"},
    )


def repository() -> Path | None:
    """Return the top folder of the git repository that contains the project, if there is one."""
    folder = Path.cwd()
    return next((each for each in [folder, *folder.parents] if (each / ".git").exists()), None)


def commit() -> None:
    """Commit as the user that git knows by name and address, otherwise as the project's author."""
    arguments = ("commit", "--quiet", "--message=Render the project")
    try:
        git("-c", "user.useConfigOnly=true", *arguments)
    except subprocess.CalledProcessError:
        git("-c", f"user.name={AUTHOR}", "-c", f"user.email={AUTHOR_EMAIL}", *arguments)


def start_repository() -> None:
    """Start a repository with everything in its first commit, unless the folder is in one."""
    if top := repository():
        if top != Path.cwd():
            print(NOT_COMMITTED.format(top=top), file=sys.stderr)
        return
    try:
        git("init", "--quiet", "--initial-branch=main", "--template=")
        git("add", "--all")
        commit()
    except (OSError, subprocess.SubprocessError) as error:
        reason = (getattr(error, "stderr", b"") or b"").decode(errors="replace") or str(error)
        print(f"git: no first commit was made: {reason.splitlines()[-1]}", file=sys.stderr)


def write_environment() -> None:
    """Write .env from its example with new secrets, readable by its owner only; keep an existing one."""
    example = Path(".env.example").read_text(encoding="utf-8")
    try:
        descriptor = os.open(".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    first, *others = example.split("change-me")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(first)
        file.writelines(secrets.token_hex(32) + other for other in others)


def print_next_steps() -> None:
    """Print the first commands, in bold on a terminal with colors."""
    has_colors = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.name != "nt"
    bold, plain = ("\033[1;32m", "\033[0m") if has_colors else ("", "")
    print("\nYour project is ready. Next steps:\n")
    for command, purpose, applies in NEXT_STEPS:
        if applies:
            print(f"  {bold}{command:<19}{plain}{purpose}".rstrip())


if __name__ == "__main__":
    remove_litter()
    drop(ANSWERS["_parts"])
    start_repository()
    write_environment()
    print_next_steps()
