"""Runs Python in copies of one process, so no project waits for the imports of the last one."""

import json
import subprocess
import sys
from pathlib import Path

# What a project's commands need where there are no servers.
IN_TESTS = {"DJANGO_SETTINGS_MODULE": "config.settings.test"}


def manage(*arguments: str) -> str:
    """Return Python that does what `manage.py` does with arguments."""
    argv = ["manage.py", *arguments]
    return f"import runpy, sys; sys.argv = {argv}; runpy.run_path('manage.py', run_name='__main__')"


class ForkServer:
    """A process that runs tests/fork_server.py, and ends with its input.

    Args:
        environment: of the process; what it runs has its own.
        output: a file for what the running program prints.
    """

    def __init__(self, environment: dict[str, str], output: Path) -> None:
        self.output = output
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("fork_server.py")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(self, source: str, directory: Path, environment: dict[str, str]) -> tuple[int, str]:
        """Run `python -c source` in a directory; return how it ended, and what it printed."""
        self.output.write_bytes(b"")
        request = {
            "source": source,
            "directory": str(directory),
            "environment": environment,
            "output": str(self.output),
        }
        print(json.dumps(request), file=self.process.stdin, flush=True)
        assert self.process.stdout
        status = int(self.process.stdout.readline())
        return status, self.output.read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        """End the process."""
        self.process.communicate()
