"""The files for Prometheus and Grafana: promtool accepts them, and they name what exists."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml
from pytest_httpserver import HTTPServer

from tests.chaos.alerts import SCALE, scaled
from tests.prometheus import MISSING, MONITORING, RULES, Prometheus, find_promtool
from tests.rendering import PROJECT, ROOT, Bake
from tests.tls import CERTIFICATES

DOCS = ROOT / PROJECT / "docs"
DASHBOARD = json.loads((MONITORING / "dashboard.json").read_text("utf-8"))
ALERTS = [rule["alert"] for rule in RULES]


@pytest.fixture(scope="session")
def promtool() -> str:
    """Return the path of promtool."""
    # Without apt-get there is no common source of promtool. The end of the run lists what was left out.
    return str(find_promtool() or pytest.skip(MISSING))


def queries() -> dict[str, str]:
    """Return the query of each panel of the dashboard, as Grafana sends it, by the panel's title."""
    return {
        panel["title"]: target["expr"].replace("$__rate_interval", "1m").replace("$job", "service")
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
    }


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command, and return what it printed."""
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)


def metrics_of(text: str) -> set[str]:
    """Return the metrics that a text names, histograms by their own name."""
    return {
        re.sub(r"(_seconds)_(bucket|sum|count)$", r"\1", name)
        for name in re.findall(r"\bdurable_\w+", text)
    }


def documented() -> set[str]:
    """Return the metrics of docs/metrics.md; a test of the engine compares them with a live scrape."""
    page = (DOCS / "metrics.md").read_text("utf-8")
    return {*re.findall(r"^\| `(durable_\w+)` \|", page, re.MULTILINE)}


def test_the_rules_pass_their_tests(promtool: str) -> None:
    done = run(promtool, "test", "rules", "rules.test.yml", cwd=MONITORING)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_a_rule_that_never_fires_fails_its_test(promtool: str, tmp_path: Path, alert: str) -> None:
    shutil.copytree(MONITORING, tmp_path, dirs_exist_ok=True)
    rules = yaml.safe_load((tmp_path / "rules.yml").read_text("utf-8"))
    for rule in rules["groups"][0]["rules"]:
        if rule["alert"] == alert:
            rule["expr"] = f"({rule['expr']}) and on () vector(0) > 1"
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules), encoding="utf-8")

    assert run(promtool, "check", "rules", "rules.yml", cwd=tmp_path).returncode == 0
    done = run(promtool, "test", "rules", "rules.test.yml", cwd=tmp_path)

    assert done.returncode != 0
    assert alert in done.stdout + done.stderr


@pytest.mark.parametrize("deployment", ["compose", "kubernetes", "systemd"])
def test_a_project_of_each_deployment_has_a_configuration_that_works(
    promtool: str, bake: Bake, tmp_path: Path, deployment: str
) -> None:
    folder = shutil.copytree(bake(deployment=deployment) / "deploy/monitoring", tmp_path / "copy")
    (folder / "metrics_token").write_text("x" * 32, encoding="utf-8")

    done = run(promtool, "check", "config", "prometheus.yml", cwd=folder)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(ALERTS)} rules found" in done.stdout
    assert (folder / "rules.yml").read_bytes() == (MONITORING / "rules.yml").read_bytes()


@pytest.mark.parametrize("path", sorted(MONITORING.iterdir()), ids=lambda path: path.name)
def test_each_metric_is_documented_and_so_exists(path: Path) -> None:
    assert metrics_of(path.read_text("utf-8")) <= documented()


@pytest.mark.parametrize("rule", RULES, ids=ALERTS)
def test_each_alert_has_a_runbook(rule: dict[str, dict[str, str]]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^## (\w+)$", (ROOT / PROJECT / page).read_text("utf-8"), re.MULTILINE)

    assert page == "docs/alerts.md"
    assert anchor in {heading.lower() for heading in headings}
    assert rule["labels"]["severity"] in {"page", "ticket"}


def test_each_runbook_has_an_alert_in_the_same_order() -> None:
    page = (DOCS / "alerts.md").read_text("utf-8")

    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == ALERTS


def test_each_query_of_the_dashboard_is_one(promtool: str, tmp_path: Path) -> None:
    rules = [{"record": "a:query", "expr": expr} for expr in queries().values()]
    rules = [{**rule, "labels": {"panel": str(n)}} for n, rule in enumerate(rules)]
    groups = {"groups": [{"name": "dashboard", "rules": rules}]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(groups), encoding="utf-8")

    done = run(promtool, "check", "rules", "rules.yml", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(queries())} rules found" in done.stdout


def scrape(*certificate: str) -> str:
    """Return what a live `/metrics` answers; see live_metrics.py."""
    done = run(sys.executable, "-m", "tests.live_metrics", *certificate, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def answer() -> str:
    """Return what a live `/metrics` answers."""
    return scrape()


Start = Callable[[str], Prometheus]


@pytest.fixture
def start(promtool: str, httpserver: HTTPServer, tmp_path: Path) -> Iterator[Start]:
    """Return a function that starts a Prometheus, which scrapes an answer each second.

    The durations of its rules are as short as in tests/chaos.
    """
    target = f"127.0.0.1:{httpserver.port}"
    jobs = [{"job_name": "service", "static_configs": [{"targets": [target]}]}]
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    configuration = {"global": every, "scrape_configs": jobs, "rule_files": ["rules.yml"]}
    groups = [{"name": "rules", "rules": [scaled(rule, SCALE) for rule in RULES]}]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
    with ExitStack() as stack:

        def start(answer: str) -> Prometheus:
            httpserver.expect_request("/metrics").respond_with_data(
                answer, content_type="text/plain"
            )
            return stack.enter_context(Prometheus(Path(promtool), tmp_path, configuration))

        yield start


def test_a_prometheus_that_does_not_start_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "prometheus"
    program.write_text("#!/bin/sh\nexec sleep 600\n")
    program.chmod(0o700)
    monkeypatch.setattr("tests.prometheus.START", 0.5)  # seconds
    prometheus = Prometheus(tmp_path / "promtool", tmp_path, {})

    with pytest.raises(AssertionError, match="no Prometheus"), prometheus:
        pass

    assert prometheus.process.poll() is not None


def wait_for(prometheus: Prometheus, query: str) -> None:
    """Wait until a query finds something."""
    deadline = time.monotonic() + 60
    while not prometheus.query(query):
        assert time.monotonic() < deadline, f"nothing: {query}"
        time.sleep(0.2)


def test_each_query_of_the_dashboard_finds_something_in_a_real_prometheus(
    start: Start, answer: str
) -> None:
    prometheus = start(answer)
    wait_for(prometheus, 'count_over_time(durable_task_runs_total{job="service"}[1m]) > 2')  # rates

    empty = [title for title, query in queries().items() if not prometheus.query(query)]

    assert empty == []


@pytest.mark.parametrize("certificate", CERTIFICATES)
def test_a_certificate_of_the_broker_that_is_refused_raises_its_alert(
    start: Start, certificate: str
) -> None:
    prometheus = start(scrape(certificate))
    firing = 'ALERTS{alertname="DurableBrokerCertificateRefused", alertstate="firing"}'
    wait_for(prometheus, "count_over_time(durable_broker_certificate_refused[1m]) > 5")

    assert bool(prometheus.query(firing)) == (certificate != "valid")
    assert prometheus.query('durable_up{part="broker"} == 0') == []  # so no other alert names it


def test_each_metric_of_the_files_is_in_a_live_answer(answer: str) -> None:
    named = set().union(*(metrics_of(path.read_text("utf-8")) for path in MONITORING.iterdir()))

    assert named <= {line.split()[2] for line in answer.splitlines() if line.startswith("# TYPE")}


def test_no_panel_of_the_dashboard_hides_another() -> None:
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    assert len(set(cells)) == len(cells)
    assert max(x for x, _y in cells) < 24  # Grafana's columns


def test_the_dashboard_shows_every_metric_but_what_alerts_say_in_words() -> None:
    shown = metrics_of(" ".join(queries().values()))

    assert documented() - shown == {
        "durable_build_info",
        "durable_broker_writable",
        "durable_broker_certificate_refused",
        "durable_heartbeat_timestamp_seconds",
        "durable_queue_waiting_rows",
        "durable_worker_running_tasks",
    }
