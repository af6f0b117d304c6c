"""Servers start, answer, stop for sure, and leave nothing behind, whatever becomes of the process
that started them.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from labkit.real import (
    ServerUnavailable,
    available,
    postgres,
    run_if_available,
    servers,
    valkey,
)
from labkit.real.servers import Postgres, Valkey
from tests.real.waiting import Program, eventually, runs

START = """
import json, psutil, sys
from labkit.real.servers import Postgres, Valkey
servers = [{servers}]
for server in servers:
    server.start()
    {then}
children = [child.pid for server in servers for child in psutil.Process(server.pid).children()]
started = [server.pid for server in servers] + children
print(json.dumps([started, str(servers[0].directory.parent)]), flush=True)
{finally_}
"""


def query(url: str, *statements: str) -> object:
    """The first value of the last statement's first row."""

    async def ask() -> object:
        connection = await asyncpg.connect(url.replace("+asyncpg", ""))
        try:
            for statement in statements[:-1]:
                await connection.execute(statement)
            return await connection.fetchval(statements[-1])
        finally:
            await connection.close()

    return asyncio.run(ask())


def shared_memory() -> set[str]:
    """The System V segments of this machine that belong to no living process (Linux)."""
    table = Path("/proc/sysvipc/shm")
    rows = [line.split() for line in table.read_text().splitlines()[1:]] if table.exists() else []
    return {row[1] for row in rows if row[6] == "0"}


def test_valkey_answers_inside_the_block_and_is_gone_after_it() -> None:
    with valkey() as url:
        client = redis.Redis.from_url(url)
        pid = client.info("server")["process_id"]
        assert client.set("a", 1)
        client.close()
    assert not runs(pid)
    assert not Path(url.removeprefix("unix://")).parent.exists()


def test_valkey_listens_on_no_port_and_saves_nothing() -> None:
    with valkey() as url:
        client = redis.Redis.from_url(url)
        assert client.config_get("port")["port"] == "0"
        assert (
            client.config_get("save")["save"],
            client.config_get("appendonly")["appendonly"],
        ) == ("", "no")
        assert not psutil.Process(client.info("server")["process_id"]).net_connections(kind="inet")
        client.close()


def test_postgresql_answers_inside_the_block_and_is_gone_after_it() -> None:
    with postgres() as url:
        assert str(query(url, "SHOW server_version")).startswith("18")
        assert [
            query(url, f"SHOW {name}")
            for name in ("fsync", "synchronous_commit", "listen_addresses")
        ] == ["on", "on", ""]
        pid = int(str(query(url, "SELECT pg_backend_pid()")))
    assert not runs(pid)
    assert not Path(url.split("host=")[1]).exists()


def test_a_block_that_raises_stops_its_server() -> None:
    with pytest.raises(ZeroDivisionError), valkey() as url:
        raise ZeroDivisionError
    assert not Path(url.removeprefix("unix://")).parent.exists()


def test_a_directory_of_a_server_is_closed_to_others() -> None:
    with valkey() as cache, postgres() as database:
        for directory in (
            Path(cache.removeprefix("unix://")).parent,
            Path(database.split("host=")[1]),
        ):
            assert directory.stat().st_mode & 0o077 == 0


def test_a_killed_postgresql_keeps_what_was_committed_and_leaves_no_shared_memory() -> None:
    before = shared_memory()
    server = Postgres()
    server.start()
    query(server.url, "CREATE TABLE t (n int)", "INSERT INTO t VALUES (7) RETURNING n")
    server.kill()
    assert server.pid is None
    server.start()
    assert query(server.url, "SELECT n FROM t") == 7
    server.kill()
    server.stop()
    assert shared_memory() <= before
    assert not server.directory.exists()


def test_a_killed_valkey_comes_back_empty() -> None:
    server = Valkey()
    server.start()
    client = redis.Redis.from_url(server.url)
    client.set("a", 1)
    server.kill()
    with pytest.raises(redis.ConnectionError):
        client.get("a")
    server.start()
    assert client.get("a") is None
    client.close()
    server.stop()


def test_stopping_twice_or_in_a_pause_is_no_error() -> None:
    for server in (Valkey(), Postgres()):
        server.start()
        pid = server.pid
        assert pid is not None
        server.pause()
        assert psutil.Process(pid).status() == psutil.STATUS_STOPPED
        server.stop()
        server.stop()
        assert not runs(pid)


def test_overlapping_pauses_end_with_the_last() -> None:
    server = Valkey()
    server.start()
    process = psutil.Process(server.pid)
    server.pause()
    server.pause()
    server.resume()
    assert process.status() == psutil.STATUS_STOPPED
    server.resume()
    assert process.status() != psutil.STATUS_STOPPED
    server.stop()


@pytest.mark.parametrize(
    ("end", "servers", "then"),
    [
        ("SIGKILL", "Valkey(), Postgres()", "pass"),
        ("SIGKILL", "Valkey(), Postgres()", "server.pause()"),
        ("SIGTERM", "Valkey()", "pass"),
        ("SIGHUP", "Valkey()", "pass"),
        ("exit", "Valkey()", "pass"),
    ],
    ids=["SIGKILL", "SIGKILL in a pause", "SIGTERM", "SIGHUP", "exit"],
)
def test_nothing_is_left_when_the_process_that_started_them_ends(
    program: Program, end: str, servers: str, then: str
) -> None:
    before = shared_memory()
    finally_ = "sys.exit(3)" if end == "exit" else "sys.stdin.read()"
    process = program(START.format(servers=servers, then=then, finally_=finally_))
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate()[1]
    processes, directory = json.loads(line)
    assert len(processes) >= (7 if "Postgres" in servers else 1)
    if end != "exit":
        process.send_signal(getattr(signal, end))
    process.wait(60)
    assert eventually(lambda: not any(map(runs, processes)))
    assert eventually(lambda: not Path(directory).exists())
    assert eventually(lambda: shared_memory() <= before)


def test_a_forked_child_that_ends_leaves_its_parents_servers_alone() -> None:
    with valkey() as url:
        child = os.fork()
        if child == 0:
            os._exit(0) if _exits_cleanly() else os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        client = redis.Redis.from_url(url)
        assert client.ping()
        client.close()


def _exits_cleanly() -> bool:
    from labkit.real.server_process import _scratch_of, scratch

    _scratch_of(os.getppid()).close()  # what atexit would do
    return scratch() is not _scratch_of(os.getppid())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_an_ordinary_user_starts_both_servers(program: Program) -> None:
    process = program(
        """
import asyncio, json, os, pwd, encodings.idna
import asyncpg, redis, psutil, sqlalchemy.dialects.postgresql.asyncpg
import labkit.real.running  # now: somebody else cannot read where our packages are
from labkit.real import postgres, valkey
user = pwd.getpwnam("nobody")
os.setgroups([]); os.setgid(user.pw_gid); os.setuid(user.pw_uid)
async def version(url):
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    answer = await connection.fetchval("SHOW server_version")
    await connection.close()
    return answer
with valkey() as cache, postgres() as database:
    answered = redis.Redis.from_url(cache).ping()
    print(json.dumps([os.geteuid() == user.pw_uid, answered, asyncio.run(version(database))]))
"""
    )
    out, err = process.communicate()
    assert process.returncode == 0, err
    changed_user, answered, version = json.loads(out)
    assert changed_user and answered and version.startswith("18")


@pytest.mark.skipif(
    os.geteuid() != 0, reason="it is root's home directory that is closed to PostgreSQL's user"
)
def test_root_starts_postgresql_from_a_directory_closed_to_others(
    program: Program, tmp_path: Path
) -> None:
    wheel = servers.find(servers.POSTGRES).parents[2]
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    for part in (wheel, wheel.with_name(f"{wheel.name}.libs")):
        subprocess.run(["cp", "-R", str(part), str(home)], check=True)
    process = program(
        f"""
import sys
sys.path.insert(0, {str(home)!r})
from labkit.real import servers
from labkit.real.servers import Postgres
print(servers.find(servers.POSTGRES))
server = Postgres()
server.start()
server.stop()
"""
    )
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert out.startswith(str(home))


def test_a_missing_wheel_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(servers, "find_spec", lambda name: None)

    async def scenario(world: object) -> None:
        world.redis()  # type: ignore[attr-defined]

    assert available() == {"redis": False, "database": False}
    with pytest.raises(ServerUnavailable, match="REDIS_URL can name a server"):
        Valkey()
    assert run_if_available(scenario) is None
    assert capsys.readouterr().out.count("\n") == 1


def test_a_server_that_dies_at_once_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Valkey()
    monkeypatch.setattr(server, "_command", [*server._command, "--no-such-option", "1"])
    with pytest.raises(ServerUnavailable, match=r"Valkey did not start.*no-such-option"):
        server.start()
    assert server.pid is None
    server.stop()
    assert not server.directory.exists()


def test_both_can_be_had_here() -> None:
    assert available() == {"redis": True, "database": True}
