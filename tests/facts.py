"""What the files of a rendered project say about each other, and what does not fit together.

Facts of one text are found once, however many combinations share it.
"""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import PurePosixPath
from typing import Any

import yaml

from tests.option_space import Answers, Tree

OURS = {"apps", "config", "durable", "tests"}
# Read by Django, Celery, boto3 or a container, not by the settings.
READ_ELSEWHERE = {
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
    *("LOG_DRIVER", "MAILPIT_PORT", "POSTGRES_PASSWORD", "PORT", "REDIS_PASSWORD", "VERSION"),
}
# Set by Django itself, by `make dev` or by the platform, never by a person in .env.
NOT_IN_ENV = {"DJANGO_SETTINGS_MODULE", "PATH", "PYTHONUNBUFFERED", "REMAP_SIGTERM", "NO_COLOR"}
READS = {
    *("str", "int", "float", "bool", "db_url", "email_url"),
    *("base_url", "comma_separated", "of_provider", "redis_url"),
}
RESIDUE = re.compile(r"\{\{ ?cookiecutter|^\s*# %", re.MULTILINE)
# In a Procfile or a compose file, in a list of Kubernetes', and in a systemd unit's variable.
WORKERS = re.compile(
    r"""celery -A config worker\b[^"\n]*?-Q ([\w,]+)|worker,[^\n]*?-Q, "?([\w,]+?)(?:"|, -c)|"[\w-]+=-Q ([\w,]+)"""
)
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
DOTTED = re.compile(r"[a-z_]+(\.\w+)+")
DEPLOYMENT_FILES = {
    "compose": ("compose.yaml", "Dockerfile", ".dockerignore"),
    "kubernetes": ("deploy/kubernetes/kustomization.yaml", "Dockerfile", ".dockerignore"),
    "systemd": ("deploy/systemd/all.target",),
}
SOFT = "WORKER_SOFT_SHUTDOWN_TIMEOUT"
SOFT_SHUTDOWN = re.compile(rf'"{SOFT}", default=([\d.]+)')
# Seconds: twice a worker's time-out for its broker, to stop consuming and to give tasks back.
GIVING_BACK = 10.0
COMPONENT = "app.kubernetes.io/component"
CI_FILES = {
    "github": (".github/workflows/ci.yml", ".github/CODEOWNERS"),
    "gitlab": (".gitlab-ci.yml", ".gitlab/CODEOWNERS"),
    "none": (),
}


@cache
def syntax(text: str) -> ast.Module:
    """Return the syntax tree of a module."""
    return ast.parse(text)


@cache
def imports(text: str) -> frozenset[str]:
    """Return the modules that a module imports, and the names that it imports from them."""
    found: set[str] = set()
    for node in ast.walk(syntax(text)):
        match node:
            case ast.Import(names=names):
                found |= {name.name for name in names}
            case ast.ImportFrom(module=str(module), names=names, level=0):
                found |= {f"{module}.{name.name}" for name in names}
    return frozenset(found)


@cache
def dotted(text: str) -> frozenset[str]:
    """Return the texts in a module that look like the path of something to import."""
    constants = (
        node.value
        for node in ast.walk(syntax(text))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    return frozenset(value for value in constants if DOTTED.fullmatch(value))


@cache
def variables(text: str) -> frozenset[str]:
    """Return the environment variables that a module reads."""
    found: set[str] = set()
    for node in ast.walk(syntax(text)):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="env"), attr=read),
                args=[ast.Constant(value=str(name)), *_],
            ) if read in READS:
                found.add(name)
    return frozenset(found)


@cache
def offered(text: str) -> frozenset[str]:
    """Return the variables that .env.example names, commented out or not."""
    return frozenset(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", text, re.MULTILINE))


@cache
def queues(text: str) -> frozenset[str]:
    """Return the queues that config/queues.py routes to."""
    calls = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call))
    routes = (call for call in calls if ast.unparse(call.func) == "Route")
    return frozenset(ast.literal_eval(route.args[1]) for route in routes)


@cache
def listened(text: str) -> frozenset[str]:
    """Return the queues that the worker lines of a file listen to."""
    return frozenset(name for found in WORKERS.findall(text) for name in "".join(found).split(","))


@cache
def dependencies(text: str) -> tuple[frozenset[str], frozenset[str]]:
    """Return the distributions that a pyproject.toml names: for production, and all."""
    content = tomllib.loads(text)
    production = {distribution(line) for line in content["project"]["dependencies"]}
    groups = chain.from_iterable(content["dependency-groups"].values())
    development = {distribution(line) for line in groups if isinstance(line, str)}
    return frozenset(production), frozenset(production | development)


def distribution(requirement: str) -> str:
    """Return the distribution that a requirement names, as package indexes compare it."""
    name = re.match(r"[\w.-]+", requirement)
    assert name
    return normal(name[0])


def normal(name: str) -> str:
    """Return a distribution's name as package indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def distributions() -> dict[str, set[str]]:
    """Return which distributions bring each top-level module that is installed."""
    return {
        module: {normal(name) for name in names}
        for module, names in packages_distributions().items()
    }


@cache
def links(text: str) -> frozenset[str]:
    """Return the paths that a page of Markdown links to."""
    return frozenset(LINK.findall(text))


def exists(tree: Tree, module: str) -> bool:
    """Say whether a dotted path begins with a module or package of the project that holds the rest."""
    parts = module.split(".")
    for end in range(len(parts), 0, -1):
        path = "/".join(parts[:end])
        if f"{path}.py" in tree:
            return True
        if f"{path}/__init__.py" in tree:
            rest = parts[end:]
            return not rest or rest[0] in tree[f"{path}/__init__.py"]
        if end < len(parts) and any(name.startswith(f"{path}/") for name in tree):
            return False
    return False


def faults(tree: Tree, answers: Answers) -> Iterator[str]:
    """Yield what does not fit together in a project, one line for each fault."""
    yield from residue(tree)
    yield from missing_modules(tree)
    yield from missing_dependencies(tree)
    yield from queues_without_workers(tree)
    yield from interrupted_workers(tree)
    yield from endless_logs(tree)
    yield from unknown_variables(tree)
    yield from broken_links(tree)
    yield from wrong_parts(tree, answers)


def residue(tree: Tree) -> Iterator[str]:
    """Yield files in which a trace of the template is left."""
    for path, text in tree.items():
        if has_residue(text):
            yield f"{path}: a trace of the template is left"


@cache
def has_residue(text: str) -> bool:
    """Say whether a trace of the template is left in a text."""
    return bool(RESIDUE.search(text))


def modules(tree: Tree) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each Python file."""
    return ((path, text) for path, text in tree.items() if path.endswith(".py"))


def missing_modules(tree: Tree) -> Iterator[str]:
    """Yield what is imported or named in a setting, and is not in the project."""
    for path, text in modules(tree):
        named = {*imports(text), *(dotted(text) if path.startswith("config/") else ())}
        for name in sorted(named):
            top = name.partition(".")[0]
            if top in OURS and not exists(tree, name) and not is_data(name):
                yield f"{path}: {name} is not in the project"


def is_data(name: str) -> bool:
    """Say whether a dotted text is a file's name or the like, not something to import."""
    return PurePosixPath(name.replace(".", "/", name.count(".") - 1)).suffix in {".py", ".md"}


def missing_dependencies(tree: Tree) -> Iterator[str]:
    """Yield modules whose distribution is not among the dependencies of their file."""
    production, every = dependencies(tree["pyproject.toml"])
    for path, text in modules(tree):
        is_test = (
            path.startswith(("config/dev/", "durable/testing/", "tests/"))
            or "/tests/" in path
            or path == "conftest.py"
        )
        allowed = every if is_test else production
        named = set(imports(text))
        if path.startswith("config/settings/"):
            named |= dotted(text)
        for top in sorted({name.partition(".")[0] for name in named} - OURS):
            brought = distributions().get(top)
            if brought and not brought & (allowed | brought_along(allowed)):
                yield f"{path}: {top} is not among the dependencies in pyproject.toml"


# Modules that a dependency brings and that its own documentation tells to import.
COMPANIONS = {
    "celery": {"kombu", "billiard"},
    "channels": {"asgiref"},
    "django": {"asgiref"},
    "django-anymail": {"requests", "cryptography"},
    "pytest-httpserver": {"werkzeug"},
    "uvicorn": {"websockets"},
    "redis": {"redis"},
}


@cache
def brought_along(allowed: frozenset[str]) -> frozenset[str]:
    """Return the companions of the distributions that are allowed."""
    return frozenset(name for key in allowed for name in COMPANIONS.get(key, ()))


def queues_without_workers(tree: Tree) -> Iterator[str]:
    """Yield files whose workers do not listen to exactly the queues that tasks are routed to."""
    routed = queues(tree["config/queues.py"])
    folders: dict[str, set[str]] = {}
    for path, text in tree.items():
        if path in {"Procfile", "compose.yaml"} or path.startswith(
            ("deploy/kubernetes/", "deploy/systemd/")
        ):
            place = path.rpartition("/")[0] or path
            folders.setdefault(place, set()).update(listened(text))
    for place, found in folders.items():
        if found != routed:
            yield f"{place}: workers listen to {sorted(found)}, and tasks go to {sorted(routed)}"


def interrupted_workers(tree: Tree) -> Iterator[str]:
    """Yield workers whose tasks get another time after SIGTERM than the settings say, or that are killed meanwhile."""
    (default,) = SOFT_SHUTDOWN.findall(tree["config/settings/celery.py"])
    for path, find in WORKER_FILES.items():
        for soft, grace in find(tree[path]) if path in tree else ():
            if soft != float(default):
                yield f"{path}: running tasks get {soft:g} s, and config/settings/celery.py says {default}"
            if grace < soft + GIVING_BACK:
                yield f"{path}: {grace:g} s of grace are not {GIVING_BACK:g} s more than the tasks' {soft:g} s"


Seconds = tuple[float, float]


@cache
def in_compose(text: str) -> tuple[Seconds, ...]:
    """Return what each worker's tasks get after SIGTERM, and what the worker gets itself."""
    (content,) = documents(text)
    return tuple(
        (float(service["environment"][SOFT]), float(service["stop_grace_period"].removesuffix("s")))
        for service in content["services"].values()  # type: ignore[index]
        if "config worker" in service.get("command", "")
    )


@cache
def in_kubernetes(text: str) -> tuple[Seconds, ...]:
    """Return the same."""
    pods: list[Any] = [
        document["spec"]["template"]["spec"]  # type: ignore[index]
        for document in documents(text)
        if is_worker(document)
    ]
    return tuple(
        (float(variables_of(pod)[SOFT]), float(pod["terminationGracePeriodSeconds"]))
        for pod in pods
    )


def variables_of(pod: Any) -> dict[str, str]:
    """Return the variables that a pod's manifest sets for its container."""
    return {entry["name"]: entry["value"] for entry in pod["containers"][0]["env"]}


def is_worker(document: Any) -> bool:
    """Say whether a document of Kubernetes' is a worker's Deployment."""
    component = (document or {}).get("metadata", {}).get("labels", {}).get(COMPONENT, "")
    return bool(document and document["kind"] == "Deployment" and component.startswith("worker"))


@cache
def in_systemd(text: str) -> tuple[Seconds, ...]:
    """Return the same."""
    (soft,) = re.findall(rf"^Environment=.*\b{SOFT}=(\d+)", text, re.MULTILINE)
    (grace,) = re.findall(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    return ((float(soft), float(grace)),)


WORKER_FILES = {
    "compose.yaml": in_compose,
    "deploy/kubernetes/workers.yaml": in_kubernetes,
    "deploy/systemd/worker@.service": in_systemd,
}


def endless_logs(tree: Tree) -> Iterator[str]:
    """Yield services of Compose with another log driver than the one that deletes what is old."""
    path = "compose.yaml"
    for service, driver in log_drivers(tree[path]) if path in tree else ():
        if driver != "${LOG_DRIVER:-local}":
            yield f"{path}: the log of {service} grows until the disk is full"


@cache
def log_drivers(text: str) -> tuple[tuple[str, str], ...]:
    """Return the services of a compose.yaml, and who keeps the log of each."""
    (content,) = documents(text)
    return tuple(
        (name, service.get("logging", {}).get("driver", "json-file"))
        for name, service in content["services"].items()  # type: ignore[index]
    )


def unknown_variables(tree: Tree) -> Iterator[str]:
    """Yield variables that are read and not in .env.example, and the other way round."""
    read = frozenset(
        name
        for path, text in modules(tree)
        if path.startswith("config/")
        for name in variables(text)
    )
    example = offered(tree[".env.example"])
    for name in sorted(read - example - NOT_IN_ENV):
        yield f".env.example: {name} is missing, and the settings read it"
    for name in sorted(example - read - READ_ELSEWHERE):
        yield f".env.example: nothing reads {name}"


def broken_links(tree: Tree) -> Iterator[str]:
    """Yield links of Markdown files that lead to no file of the project."""
    for path, text in tree.items():
        if path.endswith(".md"):
            folder = PurePosixPath(path).parent
            for link in sorted(links(text)):
                target = resolve(folder, link)
                if target not in tree and not any(name.startswith(f"{target}/") for name in tree):
                    yield f"{path}: the link {link} leads nowhere"


@cache
def resolve(folder: PurePosixPath, link: str) -> str:
    """Return the path inside the project that a relative link leads to."""
    parts: list[str] = []
    for part in (*folder.parts, *PurePosixPath(link).parts):
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def wrong_parts(tree: Tree, answers: Answers) -> Iterator[str]:
    """Yield parts that were chosen and are missing, and traces of what was not chosen."""
    wanted = {*DEPLOYMENT_FILES[answers["deployment"]], *CI_FILES[answers["ci"]]}
    possible = {
        path for files in (*DEPLOYMENT_FILES.values(), *CI_FILES.values()) for path in files
    }
    for path in sorted(possible):
        if (path in tree) != (path in wanted):
            yield f"{path}: {'missing' if path in wanted else 'not chosen, and there'}"
    for question, word in (("use_flower", "flower"), ("use_channels", "channels")):
        if not answers[question]:
            for path, text in tree.items():
                # The engine is the same in every render, and kombu has channels too.
                if not path.startswith("durable/") and says(text, word):
                    yield f"{path}: mentions {word}, which was not chosen"


@cache
def says(text: str, word: str) -> bool:
    """Say whether a text holds a word, in any letter case."""
    return word in text.lower()


@cache
def documents(text: str) -> tuple[object, ...]:
    """Return the documents of a YAML file.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    return tuple(yaml.safe_load_all(text))
