from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from querybudget.cli import log_arguments
from querybudget.cli import progress as progressing
from querybudget.cli.commands import examples_of
from querybudget.cli.main import command_parser, main
from querybudget.identity import KeyedHash
from querybudget.policy.model import Policy
from querybudget.traffic import TrafficRecord
from querybudget.traffic.read import FORMATS
from tests.replay.records import record, traffic

POLICY = """\
version: 1
secret: 0123456789abcdef0123456789abcdef
budgets:
  - {name: pace, limit: 2 requests/minute}
"""


def write(path: Path, *records: TrafficRecord) -> None:
    path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in records))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the examples have it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "stricter.yaml").write_text(POLICY.replace("2 requests", "1 request"))
    write(tmp_path / "traffic.jsonl", *traffic(1, 600, 200))
    return tmp_path


@pytest.mark.parametrize("command", ["replay", "calibrate"])
def test_the_examples_of_help_run(
    folder: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    examples = examples_of(command_parser().commands[command])
    assert examples
    for example in examples:
        assert main(shlex.split(example)[1:]) == ("--fail-if" in example)
    out, err = capsys.readouterr()
    assert "refused" in out or (folder / "proposed.yaml").exists()
    assert ("'callers_refused > 0.1%' holds: callers_refused is " in err) is (command == "replay")


def test_json_has_all_that_was_found(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "log", *(record(second) for second in range(3)))
    (folder / "log").write_bytes((folder / "log").read_bytes() + b"{}\n")
    assert main(["replay", "log", "--policy", "policy.yaml", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["malformed"] == 1
    assert found["problems"][0]["line"] == 4
    (refused,) = found["policy"]["budgets"]
    assert (refused["what"], refused["budget"], refused["calls"]) == ("refused", "pace", 1)


def test_several_logs_are_merged_by_time(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "one", record(0), record(2))
    write(folder / "two", record(1), record(3))
    arguments = ["--window", "1", "--policy", "policy.yaml", "--json"]
    assert main(["replay", "two", "one", *arguments]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["late"], found["policy"]["calls"], found["policy"]["disturbed"]) == (0, 4, 2)


def test_shadow_budgets_can_be_enforced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "shadow.yaml").write_text(POLICY.replace("minute}", "minute, mode: shadow}"))
    write(folder / "log", *(record(second) for second in range(3)))
    command = ["replay", "log", "--policy", "shadow.yaml"]
    assert main(command) == 0
    assert "would be refused" in capsys.readouterr().out
    assert main([*command, "--enforce"]) == 0
    assert "would be refused" not in capsys.readouterr().out


def test_the_formats_are_those_that_can_be_read() -> None:
    assert log_arguments.FORMATS == FORMATS


NGINX = '192.0.2.{} - - [05/Jan/2026:08:00:{:02} +0000] "POST /v1/completions HTTP/1.1" 200 9\n'


def test_a_foreign_log_is_recognised(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "access.log").write_text("".join(NGINX.format(n % 2, n) for n in range(6)))
    command = ["replay", "access.log", "--policy", "policy.yaml", "--json"]
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["policy"]["callers"], found["policy"]["disturbed"]) == (2, 2)
    assert main([*command, "--format", "nginx"]) == 0
    assert json.loads(capsys.readouterr().out) == found


def test_a_report_takes_several_logs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder / "tuesday.jsonl", *traffic(2, 30, 10))
    logs = ["traffic.jsonl", "tuesday.jsonl"]
    assert main(["report", *logs, "--policy", "policy.yaml"]) == 0
    page = (folder / "report" / "report.html").read_text()
    assert "Traffic of traffic.jsonl and 1 more" in page
    assert main(["report", *logs, "redis://cache", "--policy", "policy.yaml"]) == 1
    assert "expected traffic logs or one store" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["replay", "calibrate", "report"])
@pytest.mark.parametrize(
    ("content", "arguments", "says"),
    [
        ("no log\n" * 3, [], "lines of text in no known format"),
        ("no log\n" * 3, ["--format", "nginx"], "could read 0 of 3 lines"),
        ('{"at": 1}\n{}\n{}\n', [], "could read 1 of 3 lines"),
    ],
)
def test_a_log_of_which_most_cannot_be_read_ends_with_status_1(
    folder: Path,
    command: str,
    content: str,
    arguments: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (folder / "log").write_text(content)
    more = ["--disturb", "5%"] if command == "calibrate" else ["--policy", "policy.yaml"]
    assert main([command, "log", *more, *arguments]) == 1
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    "more", [["replay", "log", "--policy", "policy.yaml"], ["calibrate", "log", "--disturb", "5%"]]
)
def test_a_log_without_calls_ends_with_status_1(
    folder: Path, more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "log").write_text("")
    assert main(more) == 1
    assert "found no call in it" in capsys.readouterr().err


def test_callers_have_the_keys_of_the_secret_that_is_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "access.log").write_text("".join(NGINX.format(1, n) for n in range(3)))
    (folder / "bare.yaml").write_text(POLICY.replace("secret:", "# secret:"))
    monkeypatch.setenv("LOG_SECRET", "another secret of ours")
    command = ["replay", "access.log", "--policy", "bare.yaml", "--json"]
    assert main([*command, "--secret-env", "LOG_SECRET"]) == 0
    (refused,) = json.loads(capsys.readouterr().out)["policy"]["budgets"]
    key = KeyedHash(b"another secret of ours")("client_address", "192.0.2.1")
    assert refused["most"][0]["identity"] == key
    assert main([*command, "--secret-env", "NO_SECRET"]) == 1
    assert "NO_SECRET" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["replay", "log", "--policy", "p", "--year", "26"], "expected a year such as 2026"),
        (["replay", "log", "--policy", "p", "--fail-if", "refusd > 1"], "did you mean `refused`"),
        (["replay", "log", "--policy", "p", "--window", "0"], "expected 1 to"),
        (["calibrate", "log"], "--disturb"),
        (["calibrate", "log", "--disturb", "50%"], "expected a share up to 20%"),
        (["calibrate", "log", "--disturb", "few"], "expected a share up to 20%"),
    ],
)
def test_wrong_arguments_end_with_status_2(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("refused:nobody > 1", "found 'nobody'"),
        ("newly_refused > 1", "name the other by --against"),
    ],
)
def test_a_condition_that_cannot_hold_ends_with_status_2(
    condition: str, says: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["replay", "traffic.jsonl", "--policy", "policy.yaml", "--fail-if", condition]
    assert main(command) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["replay", "nowhere", "--policy", "policy.yaml"], "nowhere"),
        (["replay", "traffic.jsonl", "--policy", "nowhere.yaml"], "cannot read nowhere.yaml"),
        (["calibrate", "traffic.jsonl", "--disturb", "0.01%"], "more, or allow a larger share"),
        (["calibrate", "-", "--disturb", "1%"], "found the standard input"),
    ],
)
def test_what_cannot_be_done_ends_with_status_1(
    folder: Path, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert says in capsys.readouterr().err


def test_a_proposal_is_a_policy_that_check_accepts(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["calibrate", "traffic.jsonl", "--disturb", "2%", "--policy", "policy.yaml"]
    assert main([*command, "--out", "new.yaml"]) == 0
    assert main(["check", "new.yaml"]) == 0
    assert Policy.load("new.yaml").budgets[0].quota.limit > 0
    replayed = ["replay", "traffic.jsonl", "--policy", "new.yaml"]
    assert main([*replayed, "--fail-if", "callers_disturbed > 2%"]) == 0
    capsys.readouterr()
    assert main(command) == 0
    assert capsys.readouterr().out == (folder / "new.yaml").read_text()


def test_an_interrupt_prints_what_was_found(folder: Path) -> None:
    # A shell's background jobs, and so what they start, ignore the signal unless they handle it.
    heed = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{heed}; from querybudget.cli.main import main; raise SystemExit(main())"
    command = [sys.executable, "-c", program, "replay", "-", "--policy", "policy.yaml"]
    with subprocess.Popen(
        [*command, "--window", "1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        # More than the pipe and the readers hold, so some of it has been replayed.
        process.stdin.write(
            b"".join(msgspec.json.encode(one) + b"\n" for one in traffic(1, 3_000, 0))
        )
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        out = process.stdout.read().decode()
        process.stdin.close()
        assert process.wait() == 130
    assert out.startswith("interrupted: this is what was found by then")


def test_progress_is_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = iter([0.0, 1.0, 6.0, 7.0])
    monkeypatch.setattr(progressing, "monotonic", lambda: next(times))
    with progressing.progress(plain=True) as report:
        for number in range(3):
            report(number * 1_200, 1_767_225_600_000_000)
    assert capsys.readouterr().err == (
        "1,200 calls replayed, 200 a second, at 2026-01-01T00:00:00Z\n"
    )
