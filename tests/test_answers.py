"""Answers: bad ones are refused by name, in one line each; good ones work, however odd they look."""

import ast
import json
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.forks import IN_TESTS, ForkServer, manage
from tests.rendering import ROOT, Bake, Cookiecutter, Hook

QUESTIONS = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
BAD_ANSWERS = {
    "slug that begins with a digit": ("project_slug", "7up"),
    "slug with a space": ("project_slug", "my service"),
    "slug in upper case": ("project_slug", "MyService"),
    "slug that ends with a hyphen": ("project_slug", "service-"),
    "slug with two underscores in a row": ("project_slug", "my__service"),
    "slug in another alphabet": ("project_slug", "сервис"),
    "slug of 33 characters": ("project_slug", "s" * 33),
    "slug that leaves the output folder": ("project_slug", "../service"),
    "slug that Windows reserves": ("project_slug", "con"),
    "slug that PostgreSQL reserves": ("project_slug", "pg_tools"),
    "name that is empty": ("project_name", ""),
    "name that is blank": ("project_name", "  "),
    "name with a blank at its end": ("project_name", "Service "),
    "name with a line break": ("project_name", "My\nService"),
    "name with a tab": ("project_name", "My\tService"),
    "name with a next-line character": ("project_name", "My\u0085Service"),
    "name with a line separator": ("project_name", "My\u2028Service"),
    "name with text that runs backwards": ("project_name", "My \u202eecivreS"),
    "name with a zero-width space": ("project_name", "My\u200bService"),
    "name with half a surrogate pair": ("project_name", "My\udce4Service"),
    "name of 101 characters": ("project_name", "s" * 101),
    "description that is empty": ("description", ""),
    "description of 301 characters": ("description", "d" * 301),
    "author with a line break": ("author_name", "Jo\r\nDoe"),
    "domain with a scheme": ("domain_name", "https://example.com"),
    "domain with a port": ("domain_name", "example.com:8000"),
    "domain with a path": ("domain_name", "example.com/shop"),
    "domain in upper case": ("domain_name", "Example.com"),
    "domain in another alphabet": ("domain_name", "bücher.example"),
    "domain with an underscore": ("domain_name", "my_shop.example.com"),
    "domain with a label of 64 characters": ("domain_name", f"{'a' * 64}.com"),
    "domain that is an IP address": ("domain_name", "192.0.2.1"),
    "domain that is empty": ("domain_name", ""),
    "email without an at sign": ("author_email", "team.example.com"),
    "email with a quote": ("author_email", '"team"@example.com'),
    "email with two at signs": ("author_email", "a@b@example.com"),
    "email with a name around it": ("author_email", "Team <team@example.com>"),
    "email with a Kelvin sign for a K": ("author_email", "team@\u212aelvin.example"),
    "time zone with a typing error": ("timezone", "Europe/Berln"),
    "time zone that is a path": ("timezone", "../../etc/localtime"),
    "time zone without a city": ("timezone", "EST5EDT"),
    "time zone of a country": ("timezone", "US/Eastern"),
    "time zone under an old name": ("timezone", "Asia/Calcutta"),
    "time zone that is an offset": ("timezone", "Etc/GMT-3"),
}
GOOD_ANSWERS = {
    "apostrophe": {"project_name": "O'Brien", "description": "O'Brien's work"},
    "quotes": {"project_name": '"Quoted" Ltd', "description": '"quoted"', "author_name": '"J" Doe'},
    "three quotes": {"project_name": '"""', "description": '"" """ \'\'\'', "author_name": '"'},
    "other alphabets": {"project_name": "Ünïcode 服务", "author_name": "Жанна 张"},
    "backslashes": {"project_name": "a\\b", "description": "\\", "author_name": "\\N{DASH} \\u00"},
    "emoji that are joined": {"project_name": "Shop 👩‍💻", "description": "🚀"},
    "signs of the shell and of YAML": {
        "project_name": "$HOME & `id`; #1",
        "description": "- a: %s",
    },
    "closing braces": {"project_name": "A}} %} #}", "description": "{0} ${HOME} { {"},
    "markup": {"project_name": "<b>[red]Bold[/red]</b>", "description": "a | b * c_d_"},
    "domain that is localhost": {"domain_name": "localhost"},
    "domain in punycode": {"domain_name": "xn--bcher-kva.example"},
    "email with a plus and a hyphen": {"author_email": "O'Brien+a-b@Mail.Example.com"},
    "time zone with two slashes": {"timezone": "America/Argentina/Buenos_Aires"},
    "longest texts": {
        "project_name": "n" * 100,
        "description": "d" * 300,
        "author_name": "a" * 100,
    },
    "slug that is a keyword": {"project_slug": "import"},
    "slug that is another keyword": {"project_slug": "class"},
    "slug that is Django's name": {"project_slug": "django"},
    "slug that is Celery's name": {"project_slug": "celery"},
    "slug that is a folder of the project": {"project_slug": "apps"},
    "slug that is another folder of the project": {"project_slug": "config"},
    "slug that is a test's name": {"project_slug": "test"},
    "slug with hyphens and digits": {"project_slug": "shop-2-api_v3"},
    "slug of 32 characters": {"project_slug": "s" * 32},
}


def complaints(output: str) -> dict[str, str]:
    """Return the lines that name a question, by question; no question has two."""
    named = [line.partition(": ") for line in output.partition("\n\n")[0].splitlines()]
    found = {question: text for question, _, text in named if question in QUESTIONS}
    assert len(named) == len(found), output
    return found


def setting(path: Path, name: str) -> str:
    """Return the text that a settings file assigns to a name, or gives as its default."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            value = node.value.keywords[0].value if isinstance(node.value, ast.Call) else node.value
            return str(ast.literal_eval(value))
    raise AssertionError(f"{path} assigns nothing to {name}")


def run(folder: Path, *command: str) -> None:
    """Run a command in a project, with its output in the failure if it fails."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module", params=GOOD_ANSWERS)
def answers(request: pytest.FixtureRequest) -> dict[str, str]:
    """Return good answers, one set after the other."""
    return GOOD_ANSWERS[request.param]


@pytest.fixture(scope="module")
def odd_project(answers: dict[str, str], bake: Bake) -> Path:
    """Return the project that these answers render."""
    return bake(**answers)


@pytest.mark.parametrize(("question", "answer"), BAD_ANSWERS.values(), ids=BAD_ANSWERS)
def test_bad_answer_is_refused_by_name_and_leaves_nothing(
    question: str, answer: str, cookiecutter: Cookiecutter, tmp_path: Path
) -> None:
    done = cookiecutter("--no-input", f"{question}={answer}")
    assert done.returncode == 1
    assert list(complaints(done.stderr)) == [question]
    assert not list(tmp_path.iterdir())


def test_all_bad_answers_are_named_at_once(cookiecutter: Cookiecutter, tmp_path: Path) -> None:
    done = cookiecutter(
        "--no-input", "project_slug=7up", "author_name=", "author_email=team", "timezone=Mars"
    )
    assert list(complaints(done.stderr)) == [
        "project_slug",
        "author_name",
        "author_email",
        "timezone",
    ]
    assert not list(tmp_path.iterdir())


def test_two_projects_with_the_same_names_in_kubernetes_are_refused(
    cookiecutter: Cookiecutter, tmp_path: Path
) -> None:
    cookiecutter("--no-input", "project_slug=a-b")

    done = cookiecutter("--no-input", "project_slug=a_b", "deployment=kubernetes")
    assert done.returncode == 1
    assert "the project a-b beside it" in complaints(done.stderr)["project_slug"]
    assert not (tmp_path / "a_b").exists()
    assert cookiecutter("--no-input", "project_slug=a_b").returncode == 0


@pytest.mark.parametrize(
    ("question", "answer", "hint"),
    [
        ("project_slug", "7up", "start with a letter"),
        ("project_slug", "con", "Windows"),
        ("project_name", "My\u2028Service", "U+2028"),
        ("domain_name", "bücher.example", "xn--"),
        ("author_email", "team", "team@example.com"),
        ("timezone", "Europe/Berln", "did you mean Europe/Berlin?"),
        ("timezone", "US/Eastern", "like America/New_York"),
    ],
)
def test_complaint_says_what_to_do(
    question: str, answer: str, hint: str, cookiecutter: Cookiecutter
) -> None:
    done = cookiecutter("--no-input", f"{question}={answer}")
    assert hint in complaints(done.stderr)[question]


def test_refusal_ends_with_the_command_that_repeats_the_good_answers(
    cookiecutter: Cookiecutter, template: Path, tmp_path: Path
) -> None:
    refused = cookiecutter("--no-input", "project_slug=7up", "author_name=O'Brien", "ci=gitlab")
    command = shlex.split(refused.stderr.splitlines()[-1])
    assert command[:5] == [
        "cookiecutter",
        "--no-input",
        "--output-dir",
        str(tmp_path),
        str(template),
    ]
    assert command[-1] == "project_slug="
    done = cookiecutter("--no-input", *command[5:-1], command[-1] + "good")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "good/.gitlab-ci.yml").exists()
    assert "O'Brien" in (tmp_path / "good/pyproject.toml").read_text(encoding="utf-8")


def test_existing_folder_costs_no_answer(cookiecutter: Cookiecutter, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"replay_dir: {tmp_path / 'replay'}\n", encoding="utf-8")
    arguments = ("--config-file", str(config))
    (tmp_path / "shop").mkdir()
    refused = cookiecutter(*arguments, "--no-input", "project_slug=shop", "ci=none")
    assert refused.returncode == 1
    (tmp_path / "shop").rmdir()
    assert cookiecutter(*arguments, "--replay").returncode == 0
    assert not (tmp_path / "shop/.github").exists()


def test_cookiecutter_that_is_too_old_is_named_as_the_fault(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    too_old = hook("pre_gen_project")["too_old"]
    assert too_old() == ""
    monkeypatch.setattr("importlib.metadata.version", lambda _: "2.6.0")
    assert too_old().startswith("Cookiecutter 2.6.0 is too old; run it as: ")


@pytest.mark.parametrize("answer", ["email_provider=gmail", "use_flower=maybe"])
def test_wrong_choice_on_the_command_line_ends_with_one_line_that_names_it(
    cookiecutter: Cookiecutter, tmp_path: Path, answer: str
) -> None:
    done = cookiecutter("--no-input", answer)
    assert done.returncode == 1
    assert all(part in done.stderr.splitlines()[-1] for part in answer.split("="))
    assert not list(tmp_path.iterdir())


def test_wrong_choice_in_a_config_file_ends_a_render_in_ci(
    cookiecutter: Cookiecutter, tmp_path: Path
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("default_context:\n  ci: jenkins\n", encoding="utf-8")
    strict = {"PYTHONWARNINGS": "error:Invalid default received"}
    done = cookiecutter("--no-input", "--config-file", str(config), environment=strict)
    assert done.returncode == 1
    assert "jenkins" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "my_service").exists()


def test_choice_that_does_not_exist_is_refused_in_a_replay(
    cookiecutter: Cookiecutter, hook: Hook, tmp_path: Path
) -> None:
    replay = tmp_path / "replay.json"
    answers = hook("pre_gen_project")["ANSWERS"] | {"queues": "emials"}
    replay.write_text(json.dumps({"cookiecutter": answers}), encoding="utf-8")
    done = cookiecutter("--replay-file", str(replay))
    assert complaints(done.stderr) == {
        "queues": '"emials" is not one of by_workload, by_priority, single'
    }
    assert not (tmp_path / "my_service").exists()


@pytest.mark.parametrize("typed", ["{{7*7}}", "{% raw %}", "{# note #}", "# % if x"])
def test_template_syntax_that_is_typed_is_refused(
    typed: str, cookiecutter: Cookiecutter, tmp_path: Path
) -> None:
    answers = ["My Service", "my_service", typed, *([""] * 11)]
    done = cookiecutter(typed="\n".join(answers) + "\n")
    assert done.returncode == 1
    assert list(complaints(done.stderr)) == ["description"]
    assert not list(tmp_path.iterdir())


def test_template_syntax_on_the_command_line_is_run_by_cookiecutter(
    cookiecutter: Cookiecutter, tmp_path: Path
) -> None:
    done = cookiecutter("--no-input", "description={{7*7}}")
    assert done.returncode == 0
    settings = tmp_path / "my_service/config/settings/base.py"
    assert setting(settings, "SERVICE_DESCRIPTION") == "49"


@pytest.mark.parametrize(
    ("answer", "is_there"),
    [("Y", True), ("yes", True), ("1", True), ("n", False), ("false", False)],
)
def test_yes_and_no_may_be_said_in_many_ways(
    cookiecutter: Cookiecutter, tmp_path: Path, answer: str, is_there: bool
) -> None:
    done = cookiecutter("--no-input", f"use_flower={answer}")
    assert done.returncode == 0
    assert (tmp_path / "my_service/config/flower.py").exists() is is_there


def test_existing_folder_is_left_alone(cookiecutter: Cookiecutter, tmp_path: Path) -> None:
    (tmp_path / "my_service").mkdir()
    (tmp_path / "my_service/notes.txt").write_text("mine", encoding="utf-8")
    done = cookiecutter("--no-input")
    assert done.returncode == 1
    assert "already exists" in done.stdout
    assert [path.name for path in (tmp_path / "my_service").iterdir()] == ["notes.txt"]
    assert (tmp_path / "my_service/notes.txt").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("!", "service"),
        ("3D Printing", "service_3d_printing"),
        ("PG Tools", "service_pg_tools"),
        ("7" * 40, "service_777777777777777777777777"),
        ("1234567890123456789012 4 6", "service_1234567890123456789012_4"),
        ("Aux", "service_aux"),
        ("Con", "service_con"),
        ("COM1", "service_com1"),
        ("Con Edison", "con_edison"),
        ("n" * 100, "n" * 32),
    ],
)
def test_any_good_name_is_answer_enough(
    cookiecutter: Cookiecutter, tmp_path: Path, name: str, slug: str
) -> None:
    done = cookiecutter("--no-input", f"project_name={name}")
    assert (done.returncode, done.stderr) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == [slug]


@pytest.mark.parametrize(
    "answer", ["Europe/Berlin", "America/Argentina/Buenos_Aires", "US/Eastern"]
)
def test_without_a_zone_database_the_form_of_a_time_zone_decides(
    hook: Hook, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr("zoneinfo.TZPATH", ())
    monkeypatch.setattr("zoneinfo.available_timezones", set)
    faults = list(hook("pre_gen_project")["timezone_faults"](answer))
    assert bool(faults) == (answer == "US/Eastern")


def test_good_answers_are_in_the_project_unchanged(
    answers: dict[str, str], odd_project: Path
) -> None:
    written = (odd_project / "pyproject.toml").read_text(encoding="utf-8")
    metadata = tomllib.loads(written)["project"]
    sender = setting(odd_project / "config/settings/email.py", "DEFAULT_FROM_EMAIL")
    base = odd_project / "config/settings/base.py"
    found = {
        "project_name": setting(base, "SERVICE_NAME"),
        "project_slug": metadata["name"].removesuffix("-service"),
        "description": setting(base, "SERVICE_DESCRIPTION"),
        "domain_name": sender.removeprefix("noreply@"),
        "author_name": metadata["authors"][0]["name"],
        "author_email": metadata["authors"][0]["email"],
        "timezone": setting(base, "TIME_ZONE"),
    }
    assert {question: found[question] for question in answers} == answers
    assert metadata["description"] == found["description"]
    assert odd_project.name == found["project_slug"]


def test_good_answers_make_valid_python(odd_project: Path) -> None:
    for path in odd_project.rglob("*.py"):
        compile(path.read_text(encoding="utf-8"), path, "exec")


def test_good_answers_pass_djangos_checks(
    odd_project: Path, fork_server: ForkServer, environment: dict[str, str]
) -> None:
    status, output = fork_server.run(manage("check"), odd_project, {**environment, **IN_TESTS})
    assert status == 0, output


def test_good_answers_pass_the_linter_and_the_formatter(odd_project: Path) -> None:
    run(odd_project, "-m", "ruff", "check", "--no-cache", ".")
    run(odd_project, "-m", "ruff", "format", "--no-cache", "--check", ".")


def test_every_question_has_a_label_and_a_check(hook: Hook) -> None:
    questions = {name: value for name, value in QUESTIONS.items() if not name.startswith("_")}
    choices = {name: value for name, value in questions.items() if isinstance(value, list)}
    switches = {name: ["True", "False"] for name, value in questions.items() if value is True}
    labels = QUESTIONS["__prompts__"]
    checks = hook("pre_gen_project")
    assert list(labels) == list(questions)
    assert all(list(labels[name]) == ["__prompt__", *value] for name, value in choices.items())
    assert checks["CHOICES"] == choices | switches
    assert [*checks["MAX_LENGTH"], *checks["CHOICES"]] == list(questions)


def test_hook_knows_which_defaults_repeat_another_answer(hook: Hook) -> None:
    for question, (source, pattern) in hook("pre_gen_project")["REPEATS"].items():
        assert QUESTIONS[question] == pattern.format(f"{{{{ cookiecutter.{source} }}}}")


def test_hook_sees_the_private_answers(hook: Hook) -> None:
    assert hook("pre_gen_project")["ANSWERS"]["__project_name"] == "My Service"
    assert hook("post_gen_project")["AUTHOR"] == "My Service team"
