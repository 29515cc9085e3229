"""The service's own Prometheus, with its own rules, over real scrapes of `/metrics`.

Outages here last for seconds, and in production for minutes. So Prometheus has the rules twice: as they
are, and with each duration divided by SCALE. Scrapes and evaluations are SCALE times as frequent.
"""

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.prometheus import RULES, Prometheus

SCALE = 10
DETECTED = 60.0  # seconds from when a fault can be detected to its alert
TOKEN = "0123456789" * 4
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
RANGE = re.compile(r"(?<=\[)(\d+[smhd])(?=\])")
SECONDS = re.compile(r"(?<=_seconds > )(\d+)")
SHARE = re.compile(r"\[(\d+[smhd])\]\)\) > (0\.\d+)")
FIRING = 'ALERTS{{alertstate="firing", scale="{scale}"}}'


def seconds_of(duration: str) -> int:
    """Return the seconds of a duration such as 5m."""
    return int(duration[:-1]) * UNITS[duration[-1]]


def divided(duration: str, scale: int) -> str:
    """Return a duration divided by a scale."""
    return f"{seconds_of(duration) * 1000 // scale}ms"


def scaled(rule: Mapping[str, Any], scale: int) -> dict[str, Any]:
    """Return a rule whose durations are divided: windows, seconds of a threshold, and `for`."""
    expr = RANGE.sub(lambda found: divided(found[1], scale), rule["expr"])
    return {
        **rule,
        "expr": SECONDS.sub(lambda found: f"{int(found[1]) / scale:g}", expr),
        "for": divided(rule.get("for", "0s"), scale),
        "labels": {**rule["labels"], "scale": str(scale)},
    }


def patience_of(alert: str) -> int:
    """Return the seconds that a fault must last before a rule can detect it: of silence, or of a share of runs."""
    expr = next(rule["expr"] for rule in RULES if rule["alert"] == alert)
    if share := SHARE.search(expr):
        return round(float(share[2]) * seconds_of(share[1]))
    return max(map(int, SECONDS.findall(expr)), default=0)


class Alerts(Prometheus):
    """Raises the alerts of a project.

    Args:
        promtool: the program of Prometheus.
        folder: for its files.
        project: the project, whose configuration it has.
        port: of web, which it scrapes.
    """

    def __init__(self, promtool: Path, folder: Path, project: Path, port: int) -> None:
        text = (project / "deploy/monitoring/prometheus.yml").read_text(encoding="utf-8")
        configuration = yaml.safe_load(text)
        for name, interval in configuration["global"].items():
            configuration["global"][name] = divided(interval, SCALE)
        (job,) = configuration["scrape_configs"]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
        (folder / job["authorization"]["credentials_file"]).write_text(TOKEN, encoding="utf-8")
        groups = [
            {"name": f"scale {scale}", "rules": [scaled(rule, scale) for rule in RULES]}
            for scale in (1, SCALE)
        ]
        (folder / "rules.yml").write_text(yaml.safe_dump({"groups": groups}), encoding="utf-8")
        super().__init__(promtool, folder, configuration)

    def sees_the_service(self) -> bool:
        """Whether web has answered a scrape."""
        return bool(self.query("durable_build_info"))

    def firing(self, scale: int) -> Iterator[str]:
        """Yield the alerts that fire now."""
        return (each["metric"]["alertname"] for each in self.query(FIRING.format(scale=scale)))

    def raised(self, scale: int, since: float, until: float) -> dict[str, float]:
        """Return each alert that was raised, and the seconds after `since` at which it began to fire.

        Args:
            scale: 1 for the rules as they are, SCALE for those with shorter durations.
            since, until: seconds since 1970; what is raised later does not count.
        """
        raised: dict[str, float] = {}
        window = int(time.time() - since) + 60  # what happened before the fault counts, too
        for series in self.query(f"{FIRING.format(scale=scale)}[{window}s]"):
            name, first = series["metric"]["alertname"], series["values"][0][0]
            if first < until:
                raised[name] = min(first - since, raised.get(name, first - since))
        return raised
