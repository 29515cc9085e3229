"""Project and docs use the field's words: what has a common name is called by it."""

import re

import pytest

from tests.rendering import ROOT, Bake

# What the project once called things, and what engineers call them.
WORDS = {
    r"doorbells?|rung|ringing": "publish, notify the broker",
    r"told_\w+|kept_\w+|note_\w+|noted_\w+": "redacted_*, stored_*, record_*, mark_*",
    r"losses|lost_worker\w*|WorkersLostError": "crashes, orphaned, PoisonTaskError",
    r"refuse_\w+|checked_\w+": "validate_*",
    r"(take|put|give)_back|give_up|taken back": "cancel, requeue, release, fail",
    r"persistently|always_try|broker_may_be_away|be_patient\w*": "retry_until_written …",
    r"is_well|PATIENCE|WELL|LONGEST_SILENCE": "passed, TIMEOUT, HEARTBEAT_TIMEOUT",
    r"senseless|DoubtsAnswers|TellsAccountFaults|NamedByRow": "unreadable response …",
    r"BROKER_PAUSE|\w+_RETRY_FIRST|\w+_RETRY_LONGEST": "BROKER_CIRCUIT_RESET, …_INITIAL_DELAY",
    r"run_again|copy_of|put off|dead.letters?": "replay, replay_of, retrying, failed task",
    r"whoever|somebody|anew|mend(s|ed|ing)?|of old|who may only look": "plain English",
    r"signs? of life": "heartbeat",
}
TEXT = {".py", ".md", ".html", ".txt", ".js", ".toml", ".yaml", ".yml", ".service", ""}


@pytest.mark.parametrize("pattern", WORDS, ids=WORDS.values())
def test_the_project_uses_the_fields_words(bake: Bake, pattern: str) -> None:
    word = re.compile(rf"\b({pattern})\b", re.IGNORECASE if pattern.islower() else 0)

    found = [
        f"{path}:{number}: {line.strip()}"
        for folder in (bake(), *(ROOT / name for name in ("docs", "hooks", "scripts")))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.parts and path.suffix in TEXT
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1)
        if word.search(line)
    ]

    assert found == [], f"say instead: {WORDS[pattern]}"
