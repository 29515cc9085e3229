"""A real Prometheus: found in PATH or unpacked from Debian's package, and started on a free port."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml

from scripts.demo import free_port
from tests.rendering import PROJECT, ROOT

UNPACKED = ROOT / ".tools/prometheus"
MISSING = "promtool is missing: install Debian's package prometheus"
MONITORING = ROOT / PROJECT / "deploy/monitoring"
RULES: list[dict[str, Any]] = yaml.safe_load((MONITORING / "rules.yml").read_text("utf-8"))[
    "groups"
][0]["rules"]
START = 30.0  # seconds that it may take to start


def find_promtool() -> Path | None:
    """Return promtool, with prometheus beside it: from PATH, or from Debian's package, which needs no root to unpack."""
    if found := shutil.which("promtool"):
        return Path(found)
    unpacked = UNPACKED / "usr/bin/promtool"
    if not unpacked.exists():
        unpack(UNPACKED)
    return unpacked if unpacked.exists() else None


def unpack(folder: Path) -> None:
    """Download Debian's package of Prometheus, and unpack it into a folder, if that is possible here."""
    if not (shutil.which("apt-get") and shutil.which("dpkg")):
        return
    folder.parent.mkdir(exist_ok=True)
    # A folder of this process: pytest-xdist runs several at once.
    own = Path(tempfile.mkdtemp(dir=folder.parent))
    download = ("apt-get", "--quiet", "download", "prometheus")
    if subprocess.run(download, cwd=own, check=False, timeout=300).returncode:
        if os.geteuid() == 0:  # the list of packages may be missing
            subprocess.run(["apt-get", "--quiet", "update"], check=False, timeout=300)
        subprocess.run(download, cwd=own, check=False, timeout=300)
    for package in own.glob("prometheus_*.deb"):
        subprocess.run(["dpkg", "-x", package.name, "."], cwd=own, check=False, timeout=300)
        package.unlink()
        with suppress(OSError):  # another process was first
            own.rename(folder)
    shutil.rmtree(own, ignore_errors=True)


class Prometheus:
    """A running Prometheus.

    Args:
        promtool: the program beside which its own lies.
        folder: for its data; paths in the configuration are relative to it.
        configuration: what prometheus.yml has.
    """

    def __init__(self, promtool: Path, folder: Path, configuration: Mapping[str, Any]) -> None:
        (folder / "prometheus.yml").write_text(yaml.safe_dump({**configuration}), encoding="utf-8")
        address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{address}"
        options = {
            "config.file": "prometheus.yml",
            "storage.tsdb.path": "data",
            "web.listen-address": address,
        }
        self.log = (folder / "prometheus.log").open("wb")
        self.process = subprocess.Popen(
            [
                promtool.with_name("prometheus"),
                "--web.enable-admin-api",
                *(f"--{name}={value}" for name, value in options.items()),
            ],
            cwd=folder,
            stderr=self.log,
        )

    def __enter__(self) -> Self:
        deadline = time.monotonic() + START
        while True:
            try:
                self.query("1")
            except OSError:  # also a connection that ends without an answer
                if time.monotonic() > deadline:
                    self.__exit__()
                    raise AssertionError(f"no Prometheus: {self.log.name}") from None
                time.sleep(0.1)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.log.close()

    def query(self, query: str) -> list[dict[str, Any]]:
        """Return the series of a query, at this moment."""
        with urlopen(
            f"{self.url}/api/v1/query?{urlencode({'query': query})}", timeout=10
        ) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def forget(self) -> None:
        """Delete all samples."""
        match = urlencode({"match[]": '{__name__=~".+"}'})
        urlopen(f"{self.url}/api/v1/admin/tsdb/delete_series?{match}", b"", timeout=10).close()
