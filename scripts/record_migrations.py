"""Records the migrations of a release: from then on, `tests/test_version.py` fails if one changes."""

import hashlib
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROJECT = ROOT / "{{cookiecutter.project_slug}}"

if __name__ == "__main__":
    migrations = sorted(PROJECT.glob("*/*/migrations/[0-9]*.py"))
    found = {
        path.relative_to(PROJECT).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in migrations
    }
    text = json.dumps(found, indent=2) + "\n"
    (ROOT / "tests/migrations.json").write_text(text, encoding="utf-8")
