"""`querybudget proxy` as a process: it serves, says what is wrong, and ends when told to."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

from querybudget.cli.main import command_parser, main
from tests.proxy.served import ask, head_of, raw_server
from tests.servers.process import PATIENCE, Process, on_free_port

pytestmark = pytest.mark.anyio

POLICY = """\
secret: 0123456789abcdef
store: {{url: "sqlite:///{folder}/budgets.db", timeout: 60s}}
exempt: [/free]
budgets: [{{name: requests, limit: 1 requests/minute}}]
"""


async def listens(port: int) -> None:
    """Wait until a server that has started takes connections."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            continue
        writer.close()
        await writer.wait_closed()
        return


async def test_the_command_serves_from_several_workers_and_lets_answers_finish(
    tmp_path: Path,
) -> None:
    asked, released = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await head_of(reader)
        if head[0].startswith(b"GET /free"):
            asked.set()
            await released.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()

    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.format(folder=tmp_path))
    ports: list[int] = []

    async with raw_server(talk) as server:

        def make(port: int) -> Process:
            ports[:] = [port]
            options = ["--upstream", f"http://127.0.0.1:{server}", "--policy", str(policy)]
            command = [sys.executable, "-m", "querybudget", "proxy", *options]
            ready = "Application startup complete"
            return Process([*command, "--port", str(port), "--workers", "2"], ready=ready)

        process = await asyncio.to_thread(on_free_port, make, "in use")
        try:
            async with asyncio.timeout(PATIENCE):
                await listens(ports[0])
                answers = [await ask(ports[0], "GET /v1/models HTTP/1.1") for _ in range(2)]
                assert [answer[9:12] for answer in answers] == [b"200", b"429"]
                slow = asyncio.create_task(ask(ports[0], "GET /free HTTP/1.1"))
                await asked.wait()
                os.kill(process.pid, signal.SIGTERM)
                await asyncio.to_thread(process.wait_for, "Waiting for")
                released.set()
                assert (await slow).endswith(b"ok")
            await asyncio.to_thread(process.wait_for_end)
        finally:
            process.kill_group()
    assert not any("GET /" in line for line in process.lines), "the access log is off"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--upstream", "nowhere", "--policy", "preset:distillation"], "URL of a model server"),
        (["--upstream", "http://h"], "expected a policy"),
        (["--upstream", "http://h", "--policy", "none.yaml"], "none.yaml"),
    ],
)
def test_what_cannot_work_is_said_before_it_serves(
    options: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("QUERYBUDGET_POLICY", raising=False)
    monkeypatch.setenv("QUERYBUDGET_SECRET", "0" * 16)
    assert main(["proxy", *options]) == 1
    assert said in capsys.readouterr().err


def test_a_time_is_read_as_in_a_policy(capsys: pytest.CaptureFixture[str]) -> None:
    parser: argparse.ArgumentParser = command_parser()
    arguments = parser.parse_args(["proxy", "--upstream", "http://h", "--timeout", "2 minutes"])
    assert arguments.timeout == 120_000_000
    with pytest.raises(SystemExit):
        parser.parse_args(["proxy", "--upstream", "http://h", "--timeout", "soon"])
    assert "expected a duration" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["proxy", "--upstream", "http://127.0.0.1:1"], ["console"]])
def test_a_port_that_is_taken_is_said_before_anything_starts(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text(POLICY.format(folder=tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([*command, "--policy", str(policy), "--port", str(port)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert f"cannot listen on 127.0.0.1:{port}: address already in use" in said[-1]
