"""Rendering: what a project is made of, what the hooks leave, and what they leave alone."""

import fnmatch
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.engine_tests import FITS, engine_tests
from tests.forks import ForkServer, manage
from tests.option_space import Template
from tests.rendering import PROJECT, QUESTIONS, Bake, Cookiecutter, Hook

COPIED = QUESTIONS["_copy_without_render"]
NETWORK_GUARD = """
import os
import socket
import sys


def refuse_network(event, arguments):
    local = event == "socket.connect" and arguments[0].family == getattr(socket, "AF_UNIX", None)
    if event in ("socket.connect", "socket.getaddrinfo") and not local:
        os.write(2, f"network: {event} {arguments[-1]}\\n".encode())
        os._exit(97)


sys.addaudithook(refuse_network)
"""


def files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield every file under a folder, outside .git, with its path as written in the template."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith(".git/"):
            yield name, path


def contents(folder: Path) -> dict[str, bytes]:
    """Return what each file under a folder holds."""
    return {name: path.read_bytes() for name, path in files(folder)}


def is_copied(name: str) -> bool:
    """Say whether a path is copied into the project without being rendered."""
    return any(fnmatch.fnmatch(name, pattern) for pattern in COPIED)


def git(folder: Path, *arguments: str, **environment: str) -> str:
    """Return what a git command prints in a folder."""
    return subprocess.run(
        ["git", "-C", folder, *arguments],
        check=True,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **environment},
    ).stdout


def commit_all(folder: Path) -> None:
    """Commit everything in a repository."""
    git(folder, "add", "--all")
    author = ("-c", "user.name=Team", "-c", "user.email=team@example.com")
    git(folder, *author, "commit", "--quiet", "--message=Change")


def cruft(folder: Path, *arguments: str) -> None:
    """Run the update tool in a folder."""
    subprocess.run([sys.executable, "-m", "cruft", *arguments], cwd=folder, check=True)


def run_hook(hook: Hook, name: str, folder: Path, **environment: str) -> str:
    """Run a rendered hook in a folder and return what it prints, complaints included."""
    return subprocess.run(
        [sys.executable, hook(name)["__file__"]],
        cwd=folder,
        check=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env={**os.environ, **environment},
    ).stdout


@pytest.fixture
def rendered_without_hooks(cookiecutter: Cookiecutter, tmp_path: Path) -> Path:
    """Return a project as it is before the last hook runs."""
    cookiecutter("--no-input", "--accept-hooks=no")
    return tmp_path / "my_service"


@pytest.fixture
def network_guard(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment in which Python ends at its first step into the network."""
    folder = tmp_path_factory.mktemp("guard")
    (folder / "sitecustomize.py").write_text(NETWORK_GUARD, encoding="utf-8")
    return {"PYTHONPATH": str(folder)}


def test_no_trace_of_the_template_is_left(project: Path) -> None:
    for name, path in files(project):
        text = path.read_bytes().decode(errors="replace")
        assert not re.search(r"\{\{ ?cookiecutter", name + text), name
        assert is_copied(name) or not re.search(r"^\s*# %|\{%", text, re.MULTILINE), name


def test_apps_are_the_templates_own_byte_for_byte(project: Path, template: Path) -> None:
    assert contents(project / "apps") == contents(template / PROJECT / "apps")


def test_the_engines_own_tests_stay_in_the_template(project: Path, template: Path) -> None:
    found = engine_tests(template)
    assert {*FITS} < {*found}
    assert not [path for path in found if (project / path).exists()]
    assert not list((project / "durable").rglob("tests"))


def test_copied_files_hold_no_template_statement(template: Path) -> None:
    for name, path in files(template / PROJECT):
        text = path.read_bytes().decode(errors="replace")
        statement = re.search(r"cookiecutter\.|^\s*# %", text, re.MULTILINE)
        assert not (is_copied(name) and statement), name


def test_every_file_of_apps_is_copied(template: Path) -> None:
    apps = template / PROJECT / "apps"
    assert not [name for name, _ in files(apps) if not is_copied(f"apps/{name}")]


def test_rendered_files_use_comments_for_conditions(template: Path) -> None:
    for name, path in files(template / PROJECT):
        text = path.read_bytes().decode(errors="replace")
        assert is_copied(name) or "{%" not in text, name


def test_copied_paths_are_files_and_never_folders(template: Path) -> None:
    """Cookiecutter replaces a copied folder as a whole, with what its owner has added to it."""
    source = template / PROJECT
    folders = [path.relative_to(source) for path in source.rglob("*") if path.is_dir()]
    assert not [folder for folder in folders if is_copied(str(folder))]


def test_paths_are_possible_on_windows(project: Path) -> None:
    assert not [name for name, _ in files(project) if re.search(r'[|<>:*?"\\]', name)]


def test_parts_that_may_be_dropped_are_in_the_template(template: Path) -> None:
    parts = QUESTIONS["_parts"]
    assert not [name for name in parts if not (template / PROJECT / name).exists()]


def test_parts_that_were_not_chosen_are_dropped(
    hook: Hook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop = hook("post_gen_project")["drop"]
    monkeypatch.chdir(tmp_path)
    for name in ("kept/file", "dropped/file", "dropped.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    kept = {"queues": ["by_workload"]}
    drop({"kept": kept, "dropped": {"queues": ["single"]}, "dropped.txt": {}, "gone already": {}})
    assert (Path("kept/file").exists(), Path("dropped").exists()) == (True, False)
    assert not Path("dropped.txt").exists()


def test_two_renders_differ_in_their_secrets_only(bake: Bake, project: Path) -> None:
    first, second = contents(project), contents(bake())
    assert first.pop(".env") != second.pop(".env")
    assert first == second


def test_environment_is_the_example_with_fresh_secrets(project: Path) -> None:
    example = (project / ".env.example").read_text(encoding="utf-8")
    environment = (project / ".env").read_text(encoding="utf-8")
    pattern = re.escape(example).replace(re.escape("change-me"), "([A-Za-z0-9_-]{64})")
    secrets = re.fullmatch(pattern, environment)
    assert secrets
    assert secrets.groups()
    assert len(set(secrets.groups())) == len(secrets.groups())


@pytest.mark.parametrize("server", [{}, {"EMAIL_URL": ""}], ids=["missing", "empty"])
def test_production_does_not_start_without_an_smtp_server(
    project: Path, fork_server: ForkServer, environment: dict[str, str], server: dict[str, str]
) -> None:
    production = {
        "DJANGO_SETTINGS_MODULE": "config.settings.production",
        "SECRET_KEY": "unused",
        "DATABASE_URL": "sqlite://:memory:",
    }
    status, output = fork_server.run(manage("check"), project, environment | production | server)
    assert status != 0
    assert "ImproperlyConfigured: EMAIL_URL is missing or empty: " in output


@pytest.mark.parametrize(
    ("provider", "line"),
    [
        ("smtp", "EMAIL_URL=smtp+tls://user:password@smtp.example.com:587"),
        ("mailgun", "EMAIL_URL="),
    ],
)
def test_what_to_set_on_a_server_sends_mail(bake: Bake, provider: str, line: str) -> None:
    page = (bake(email_provider=provider) / "docs/deploying.md").read_text(encoding="utf-8")
    assert re.findall("^   (EMAIL_URL=.*)$", page, re.MULTILINE) == [line]


def test_the_images_user_may_read_the_code_whatever_the_umask_of_its_checkout(
    project: Path,
) -> None:
    dockerfile = (project / "Dockerfile").read_text(encoding="utf-8")
    copies = re.findall(r"^COPY (.*) \. \.$", dockerfile, re.MULTILINE)
    assert copies == ["--chmod=755"]


def test_the_image_holds_what_is_named_and_nothing_else(project: Path) -> None:
    """Otherwise an image holds a copy of the database that lies in the checkout."""
    text = (project / ".dockerignore").read_text(encoding="utf-8")
    patterns = [line for line in text.splitlines() if line and not line.startswith("#")]
    named = {pattern[1:] for pattern in patterns if pattern.startswith("!")}
    assert patterns[0] == "*"
    assert named == {"apps", "config", "durable", "manage.py", "pyproject.toml", "uv.lock"}
    assert not any(pattern.startswith("!") for pattern in patterns[len(named) + 1 :])


@pytest.mark.parametrize(
    "name", ["db.dump", "db.dump.gz", "db.sql", "db.sql.gz", "apps/db.dump.gz"]
)
def test_git_ignores_copies_of_the_database(project: Path, name: str) -> None:
    command = ["git", "check-ignore", "--quiet", "--no-index", name]
    assert subprocess.run(command, cwd=project, check=False).returncode == 0


def test_every_process_of_compose_has_limits_and_the_same_image(project: Path) -> None:
    compose = yaml.safe_load((project / "compose.yaml").read_text(encoding="utf-8"))
    services = compose["services"]
    own = [service for service in services.values() if service.get("env_file")]

    without = {name for name, service in services.items() if "mem_limit" not in service}
    assert without == {"db"}  # the kernel must never choose it
    assert [name for name, service in services.items() if "pids_limit" not in service] == []
    assert len(own) > 5
    assert {service["image"] for service in own} == {"my_service:${VERSION:-latest}"}
    assert {service["pull_policy"] for service in own} == {"never"}
    assert [name for name, service in services.items() if "build" in service] == ["migrate"]
    assert services["web"]["pids_limit"] >= 1024  # Django has a thread for each running request


def test_compose_waits_for_a_slow_start_of_each_service(project: Path) -> None:
    services = yaml.safe_load((project / "compose.yaml").read_text(encoding="utf-8"))["services"]
    checks = [service["healthcheck"] for service in services.values() if "healthcheck" in service]
    assert len(checks) > 5
    assert {check.get("start_period") for check in checks} == {"300s"}


def test_redis_refuses_writes_before_its_container_is_killed(project: Path) -> None:
    """Data of 450 MB, and up to as much again for a rewrite of its file."""
    redis = yaml.safe_load((project / "compose.yaml").read_text(encoding="utf-8"))["services"][
        "redis"
    ]
    assert "--maxmemory 450mb " in redis["command"]
    assert redis["mem_limit"] == "1g"


@pytest.mark.parametrize("before", ["A=1", "A=1\n", "VERSION=1\nA=1\n", "A=1\nVERSION=1\n"])
def test_each_release_sets_its_version(project: Path, tmp_path: Path, before: str) -> None:
    page = (project / "docs/deploying.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^\$ (sed .*)$", page, re.MULTILINE)
    command = line.replace("$(git rev-parse --short HEAD)", "2")
    (tmp_path / ".env").write_text(before, encoding="utf-8")

    subprocess.run(command, shell=True, cwd=tmp_path, check=True)

    assert (tmp_path / ".env").read_text(encoding="utf-8") == "A=1\nVERSION=2\n"


def test_every_unit_of_systemd_has_limits(bake: Bake) -> None:
    units = (bake(deployment="systemd") / "deploy/systemd").glob("*.service")
    texts = {unit.name: unit.read_text(encoding="utf-8") for unit in units}
    unlimited = {name for name, text in texts.items() if "MemoryMax=" not in text}
    assert unlimited == {"release.service"}  # it ends by itself
    with_children = {name for name, text in texts.items() if "OOMPolicy=continue" in text}
    assert with_children == {"web.service", "worker@.service"}
    assert "TasksMax=1024\n" in texts["web.service"]  # Django has a thread for each running request


def test_kubernetes_keeps_a_pod_of_each_part_that_has_several(bake: Bake) -> None:
    folder = bake(deployment="kubernetes") / "deploy/kubernetes"
    objects = [
        each
        for path in folder.glob("*.yaml")
        for each in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    ]
    several = [
        each for each in objects if each["kind"] == "Deployment" and each["spec"]["replicas"] > 1
    ]
    kept = {each["metadata"]["name"] for each in objects if each["kind"] == "PodDisruptionBudget"}

    assert {each["metadata"]["name"] for each in several} == kept
    for each in several:
        (spread,) = each["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert spread["labelSelector"] == each["spec"]["selector"]


def test_web_starts_in_kubernetes_while_redis_is_away(bake: Bake) -> None:
    text = (bake(deployment="kubernetes") / "deploy/kubernetes/web.yaml").read_text(
        encoding="utf-8"
    )
    web = next(yaml.safe_load_all(text))["spec"]["template"]["spec"]["containers"][0]
    assert web["startupProbe"]["exec"]["command"] == ["python", "manage.py", "migrate", "--check"]
    assert "/health/ready" not in text


@pytest.mark.parametrize(
    ("deployment", "file", "probe", "state"),
    [
        ("compose", "compose.yaml", "/healthcheck'", ["flower:/var/lib/flower"]),
        (
            "kubernetes",
            "deploy/kubernetes/workers.yaml",
            "path: /healthcheck",
            ["mountPath: /var/lib/flower", "kind: PersistentVolumeClaim"],
        ),
        (
            "systemd",
            "deploy/systemd/flower.service",
            "WatchdogSec=",
            ["StateDirectory=my_service-flower", "FLOWER_DB=/var/lib/my_service-flower/"],
        ),
    ],
)
def test_each_deployment_probes_flower_and_keeps_its_counters(
    bake: Bake, deployment: str, file: str, probe: str, state: list[str]
) -> None:
    text = (bake(deployment=deployment) / file).read_text(encoding="utf-8")

    assert probe in text
    assert "FLOWER_DB" in text
    assert [part for part in state if part not in text] == []
    assert "FLOWER_READ_ONLY" not in text  # so it is true


def test_environment_is_its_owners_alone(project: Path) -> None:
    assert stat.S_IMODE((project / ".env").stat().st_mode) == 0o600


def test_environment_is_ignored_by_git(project: Path) -> None:
    assert git(project, "check-ignore", ".env") == ".env\n"


def test_project_starts_with_one_commit_and_nothing_left_to_commit(project: Path) -> None:
    assert git(project, "log", "--format=%s|%an|%ae") == (
        "Render the project|My Service team|team@example.com\n"
    )
    assert git(project, "branch", "--show-current") == "main\n"
    assert git(project, "status", "--porcelain") == ""


@pytest.mark.parametrize(
    "name",
    [
        *("dump.rdb", "server.pem", "tls.key", "client.p12"),
        *("all.sql", "all.sql.gz", "pg.dump", "db.sqlite3-wal"),
    ],
)
def test_no_copy_of_data_and_no_key_is_committed(project: Path, name: str) -> None:
    assert git(project, "check-ignore", name, f"apps/{name}") == f"{name}\napps/{name}\n"


def test_commit_is_by_the_user_whom_git_knows(
    hook: Hook, rendered_without_hooks: Path, tmp_path: Path
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text("[user]\nname = Known\nemail = known@example.com\n", encoding="utf-8")
    run_hook(hook, "post_gen_project", rendered_without_hooks, GIT_CONFIG_GLOBAL=str(config))
    assert git(rendered_without_hooks, "log", "--format=%an|%ae") == "Known|known@example.com\n"


def test_commit_runs_no_hook_and_signs_nothing(
    hook: Hook, rendered_without_hooks: Path, tmp_path: Path
) -> None:
    refusing = tmp_path / "refusing/hooks"
    refusing.mkdir(parents=True)
    for name in ("pre-commit", "commit-msg", "prepare-commit-msg"):
        (refusing / name).write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        (refusing / name).chmod(0o755)
    config = tmp_path / "gitconfig"
    config.write_text(
        f"[core]\nhooksPath = {refusing}\n[commit]\ngpgSign = true\n"
        f"[init]\ntemplateDir = {refusing.parent}\n",
        encoding="utf-8",
    )
    run_hook(hook, "post_gen_project", rendered_without_hooks, GIT_CONFIG_GLOBAL=str(config))
    assert git(rendered_without_hooks, "rev-list", "--count", "HEAD") == "1\n"


def test_commit_has_every_file_whatever_the_user_ignores_and_converts(
    hook: Hook, rendered_without_hooks: Path, tmp_path: Path
) -> None:
    (tmp_path / "ignore").write_text("*.toml\ndocs/\n", encoding="utf-8")
    (tmp_path / "attributes").write_text("*.md filter=upper\n", encoding="utf-8")
    config = tmp_path / "gitconfig"
    config.write_text(
        f"[core]\nexcludesFile = {tmp_path / 'ignore'}\n"
        f"attributesFile = {tmp_path / 'attributes'}\n"
        "autocrlf = true\nsafecrlf = true\nsparseCheckout = true\nfileMode = false\n"
        '[filter "upper"]\nclean = tr a-z A-Z\n',
        encoding="utf-8",
    )
    run_hook(hook, "post_gen_project", rendered_without_hooks, GIT_CONFIG_GLOBAL=str(config))
    committed = git(rendered_without_hooks, "ls-tree", "-r", "--name-only", "HEAD").splitlines()
    rendered = contents(rendered_without_hooks)
    assert {*committed} == {*rendered} - {".env"}
    readme = git(rendered_without_hooks, "show", "HEAD:README.md").encode()
    assert readme == rendered["README.md"]
    assert git(rendered_without_hooks, "config", "--local", "core.fileMode") == "true\n"


def test_repository_around_the_project_is_left_alone(
    hook: Hook, rendered_without_hooks: Path, tmp_path: Path
) -> None:
    git(tmp_path, "init", "--quiet")
    said = run_hook(hook, "post_gen_project", rendered_without_hooks)
    assert f"git: no commit was made, because the project is in the repository {tmp_path};" in said
    assert not (rendered_without_hooks / ".git").exists()
    assert (rendered_without_hooks / ".env").exists()


def test_repository_whose_hook_renders_is_left_alone(
    hook: Hook, rendered_without_hooks: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("other")
    git(other, "init", "--quiet")
    variables = {
        "GIT_DIR": str(other / ".git"),
        "GIT_COMMON_DIR": str(other / ".git"),
        "GIT_OBJECT_DIRECTORY": str(other / ".git/objects"),
        "GIT_NAMESPACE": "other",
    }
    run_hook(hook, "post_gen_project", rendered_without_hooks, **variables)
    assert git(rendered_without_hooks, "rev-list", "--count", "HEAD") == "1\n"
    assert git(other, "status", "--porcelain") == ""


def test_missing_git_costs_a_note_only(
    hook: Hook, rendered_without_hooks: Path, tmp_path: Path
) -> None:
    said = run_hook(hook, "post_gen_project", rendered_without_hooks, PATH=str(tmp_path))
    assert len([line for line in said.splitlines() if line.startswith("git: ")]) == 1
    assert (rendered_without_hooks / ".env").exists()


def test_failing_git_costs_a_note_only(
    hook: Hook, rendered_without_hooks: Path, tmp_path: Path
) -> None:
    config = tmp_path / "gitconfig"
    config.write_text("[this is no configuration", encoding="utf-8")
    said = run_hook(hook, "post_gen_project", rendered_without_hooks, GIT_CONFIG_GLOBAL=str(config))
    assert "git: no first commit was made: " in said
    assert (rendered_without_hooks / ".env").exists()


def test_next_steps_have_no_colors_in_a_pipe(cookiecutter: Cookiecutter) -> None:
    output = cookiecutter("--no-input").stdout
    assert output.partition("Next steps:\n\n")[2] == (
        "  cd my_service\n"
        "  make dev           start everything on this machine\n"
        "  make up            start everything in containers\n"
        "  make test          run the tests\n"
        "  make help          list all commands\n"
        "  docs/email.md      connect your SMTP server\n"
        "  docs/deploying.md  deploy with Docker Compose\n"
    )


def leave_litter(folder: Path) -> dict[str, bytes]:
    """Leave in a project's folder what tools and editors leave; return it by its path."""
    left = {
        "notes.swp": b"swap \xff",
        ".DS_Store": b"store \xff {% if %}",
        ".coverage": b"coverage \xff",
        ".env": b"SECRET_KEY=\xff",
        "uv.lock": b"lock \xff",
        "apps/.DS_Store": b"store \xff",
        "apps/users/__pycache__/models.cpython-311.pyc": b"compiled \xff",
        "docs/.tasks.md.swp": b"swap \xff",
    }
    for name in ("hypothesis", "idea", "mypy_cache", "pytest_cache", "ruff_cache", "vscode"):
        left[f".{name}/deep/file"] = b"binary \xff"
    for name in (".tools", ".venv", "__pycache__", "staticfiles", "var"):
        left[f"{name}/deep/file.html"] = b"{% if broken \xff"
    for name, content in left.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return left


def test_what_tools_left_in_the_template_does_not_enter_a_project(
    cookiecutter: Cookiecutter, template: Path, tmp_path: Path, project: Path
) -> None:
    littered = shutil.copytree(template, tmp_path / "littered")
    leave_litter(littered / PROJECT)
    done = cookiecutter("--no-input", template=littered)
    assert done.returncode == 0, done.stderr
    rendered, usual = contents(tmp_path / "my_service"), contents(project)
    assert rendered.pop(".env") != usual.pop(".env")
    assert rendered == usual
    assert Template(littered).sources == Template(template).sources


def test_what_tools_left_in_a_project_survives_a_render_over_it(
    cookiecutter: Cookiecutter, template: Path, tmp_path: Path
) -> None:
    littered = shutil.copytree(template, tmp_path / "littered")
    leave_litter(littered / PROJECT)
    cookiecutter("--no-input")
    project = tmp_path / "my_service"
    own = dict.fromkeys(leave_litter(project), b"own") | {".venv/own/file": b"own"}
    for name, content in own.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_bytes(content)
    commit_all(project)
    before = contents(project)
    done = cookiecutter("--no-input", "--overwrite-if-exists", template=littered)
    assert done.returncode == 0, done.stderr
    assert contents(project) == before


def test_what_tools_leave_is_copied_without_render() -> None:
    assert {*QUESTIONS["_left_by_tools"]} <= {*COPIED}


def test_render_over_a_project_keeps_its_own_files_and_secrets(
    cookiecutter: Cookiecutter, tmp_path: Path
) -> None:
    cookiecutter("--no-input")
    own = tmp_path / "my_service/durable/mail/own.py"
    own.write_text("mine = True\n", encoding="utf-8")
    commit_all(tmp_path / "my_service")
    before = contents(tmp_path)
    done = cookiecutter("--no-input", "--overwrite-if-exists")
    assert done.returncode == 0
    assert contents(tmp_path) == before
    assert git(tmp_path / "my_service", "rev-list", "--count", "HEAD") == "2\n"


def test_render_over_a_project_keeps_what_its_team_added_where_a_part_was_left_out(
    cookiecutter: Cookiecutter, tmp_path: Path
) -> None:
    cookiecutter("--no-input")
    project = tmp_path / "my_service"
    for name in (".gitlab-ci.yml", "deploy/terraform/main.tf", "deploy/systemd/own.service"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("mine", encoding="utf-8")
    (project / "durable/tests").mkdir()
    (project / "durable/tests/test_own.py").write_text("mine", encoding="utf-8")
    commit_all(project)
    before = contents(project)
    done = cookiecutter("--no-input", "--overwrite-if-exists")
    assert done.returncode == 0, done.stderr
    assert contents(project) == before


@pytest.mark.parametrize("name", ["README.md", "own.md"], ids=["changed", "new"])
def test_render_over_uncommitted_work_is_refused_before_anything_is_written(
    cookiecutter: Cookiecutter, tmp_path: Path, name: str
) -> None:
    cookiecutter("--no-input")
    (tmp_path / "my_service" / name).write_text("mine", encoding="utf-8")
    before = contents(tmp_path)
    done = cookiecutter("--no-input", "--overwrite-if-exists", "ci=none")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "1 files are not committed: commit or stash them" in done.stderr
    assert contents(tmp_path) == before


def test_update_brings_the_templates_changes_and_keeps_the_secrets(
    template: Path, tmp_path: Path
) -> None:
    source = shutil.copytree(template, tmp_path / "template")
    git(source, "init", "--quiet")
    commit_all(source)
    cruft(tmp_path, "create", "--no-input", str(source))
    project = tmp_path / "my_service"
    commit_all(project)
    environment = (project / ".env").read_bytes()

    changed = source / PROJECT / "pyproject.toml"
    written = changed.read_text(encoding="utf-8")
    changed.write_text(written.replace('"0.1.0"', '"0.2.0"'), encoding="utf-8")
    (source / PROJECT / "apps/new.py").write_text("new = True\n", encoding="utf-8")
    commit_all(source)
    cruft(project, "update", "--skip-apply-ask")

    status = git(project, "status", "--porcelain").splitlines()
    assert {line.split()[-1] for line in status} == {".cruft.json", "apps/new.py", "pyproject.toml"}
    assert 'version = "0.2.0"' in (project / "pyproject.toml").read_text(encoding="utf-8")
    assert (project / ".env").read_bytes() == environment


def test_rendering_needs_no_network(
    cookiecutter: Cookiecutter, network_guard: dict[str, str]
) -> None:
    done = cookiecutter("--no-input", environment=network_guard)
    assert done.returncode == 0, done.stderr
    assert "network:" not in done.stderr


@pytest.mark.parametrize(
    "step",
    ["socket.create_connection(('127.0.0.1', 9))", "socket.getaddrinfo('localhost', 80)"],
    ids=["connecting", "looking up a name"],
)
def test_network_guard_ends_a_program_that_is(step: str, network_guard: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", f"import socket; {step}"],
        check=False,
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, **network_guard},
    )
    assert done.returncode == 97
    assert done.stderr.startswith("network: socket.")


def test_next_steps_depend_on_the_answers(cookiecutter: Cookiecutter) -> None:
    output = cookiecutter("--no-input", "deployment=systemd", "email_provider=mailgun").stdout
    assert "make up" not in output
    assert "connect your email provider" in output
    assert "deploy to a server with systemd" in output
