from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from querybudget.cli.main import main

POLICY = """\
secret: 0123456789abcdef0123456789abcdef
budgets:
  - {name: rpm, limit: 60 requests/minute}
  - {name: spend, limit: 5 usd/month, window: calendar, timezone: UTC}
  - {name: small, limit: 100 tokens/hour, mode: shadow}
  - {name: large, limit: 1k tokens/hour, match: {model: "large-*"}}
  - {name: streams, limit: 2 concurrent, match: {stream: true}}
models:
  "*": {input: 1, output: 2}
"""
CHAT = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "x" * 400}]}


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return str(path)


@pytest.fixture
def request_file(tmp_path: Path) -> str:
    path = tmp_path / "request.json"
    path.write_text(json.dumps(CHAT))
    return str(path)


def test_without_arguments_it_prints_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "usage: querybudget" in capsys.readouterr().out


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    import querybudget  # noqa: PLC0415

    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"querybudget {querybudget.__version__}\n"


def test_check_describes_each_budget(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", policy]) == 0
    out, err = capsys.readouterr()
    assert "rpm      60 requests in any minute, each identity, enforced" in out
    assert "spend    $5 per calendar month" in out
    assert "shadow: refuses no call" in out
    assert err == ""


def test_check_reports_every_problem_at_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("budgets:\n  - {name: a, limit: 60 reqs/minute}\n  - {name: b, limitt: 1}\n")
    assert main(["check", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{path}:2: " in err
    assert f"{path}:3: " in err


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("budgets: [{name: a, limit: 1 request/minute}]", "no `secret` is set"),
        ("mode: shadow\nbudgets: [{name: a, limit: 1 request/minute}]", "no call is refused"),
        (
            "models: {gpt: {input: 1, output: 1}}\nbudgets: [{name: a, limit: 1 usd/day}]",
            "a price for `*` would cover it",
        ),
    ],
)
def test_check_warns_of_what_is_probably_a_mistake(
    text: str, warning: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    assert main(["check", str(path)]) == 0
    assert warning in capsys.readouterr().err


@pytest.mark.parametrize(
    ("store", "said"),
    [
        (
            "store: sqlite://budgets.db",
            ":2: 'sqlite://budgets.db' has a host, 'budgets.db': a file",
        ),
        ("store:\n  timeout: 1s\n  url: redis://h/x", ":4: cannot use redis://h/x as a store: "),
    ],
)
def test_check_says_at_which_line_a_store_can_never_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], store: str, said: str
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(f"secret: 0123456789abcdef\n{store}\nbudgets: [{{name: a, limit: 1/minute}}]")
    assert main(["check", str(path)]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"{path}{said}")
    assert ", at $.store" in err


def test_check_refuses_an_unknown_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(
        "store: abacus://\nsecret: 0123456789abcdef\nbudgets: [{name: a, limit: 1 request/minute}]"
    )
    assert main(["check", str(path)]) == 1
    assert "found `abacus://`" in capsys.readouterr().err


def test_explain_says_what_applies_and_why_the_rest_does_not(
    policy: str, request_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", policy, "--request", request_file]) == 0
    out = capsys.readouterr().out
    assert "POST /v1/chat/completions: admit" in out
    assert "in shadow, small would have refused it" in out
    assert "costs $0.0002" in out
    assert "it is for model large-*; this is m" in out
    assert "it is for streams only" in out


def test_explain_prints_json(
    policy: str, request_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    header = "authorization: Bearer k"
    assert main(["explain", policy, "--request", request_file, "--header", header, "--json"]) == 0
    explained = json.loads(capsys.readouterr().out)
    budgets = {budget["name"]: budget for budget in explained["budgets"]}
    assert (explained["verdict"], explained["identity"], explained["tokens"]) == (
        "admit",
        "api_key",
        [100, 50],
    )
    assert (budgets["rpm"]["cost"], budgets["rpm"]["left"]) == (1, 59)
    assert (budgets["small"]["applies"], budgets["small"]["verdict"]) == (True, "never")
    assert budgets["large"]["applies"] is False


def test_explain_says_when_a_call_can_never_fit(
    tmp_path: Path, request_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("budgets: [{name: a, limit: 100 tokens/minute}]")
    assert main(["explain", str(path), "--request", request_file]) == 0
    assert "never, the request is larger than the whole limit of a\n" in capsys.readouterr().out


def test_explain_shows_an_exempt_path(policy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", policy, "--method", "GET", "--path", "/health"]) == 0
    assert "untouched, the path is exempt" in capsys.readouterr().out


def test_explain_reports_a_body_that_cannot_be_read_and_what_it_counts(
    policy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "request.json"
    path.write_text("{")
    assert main(["explain", policy, "--request", str(path)]) == 1
    out, err = capsys.readouterr()
    assert err == "querybudget: the request's body cannot be read\n"
    assert "body      cannot be read. Expected a chat completions request: " in out
    assert "tokens more, one for each byte that cannot be read" in out
    assert "token ids" not in out
    assert "The call counts on every budget of its path, at the highest price." in out
    assert "does not apply" not in out


def test_explain_of_a_model_endpoint_asks_for_a_body(
    policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", policy, "--json"]) == 1
    explanation = json.loads(capsys.readouterr().out)
    assert explanation["body_error"] == "It is empty: give one with --request."
    assert (explanation["operation"], explanation["verdict"]) == ("unreadable", "admit")


def test_explain_refuses_a_body_beyond_the_policy_s_limit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy, request = tmp_path / "policy.yaml", tmp_path / "request.json"
    policy.write_text("body: {limit: 1 KiB}\nbudgets: [{name: a, limit: 9/day}]")
    request.write_text(json.dumps(CHAT).ljust(1025))
    assert main(["explain", str(policy), "--request", str(request)]) == 0
    out = capsys.readouterr().out
    assert "too_large, the body is larger than `body.limit`, 1,024 bytes, so the request" in out
    assert "does not apply: the body is too large" in out


@pytest.mark.parametrize("command", ["check", "explain"])
def test_a_missing_policy_is_reported_in_one_line(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "nowhere.yaml"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_missing_request_is_reported_in_one_line(
    policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", policy, "--request", "nowhere.json"]) == 1
    assert "cannot read a request body from nowhere.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["explain", "p.yaml", "--header", "nonsense"], ["demo", "--seconds", "x"], ["chekc"]],
)
def test_misuse_ends_with_status_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("chekc", "expected a command, found `chekc` (did you mean `check`?)"),
        ("nothing", "expected a command, found `nothing`; `querybudget --help` lists them"),
    ],
)
def test_a_command_that_there_is_not_is_said_with_the_nearest(
    word: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([word])
    assert said in capsys.readouterr().err


def test_the_schema_takes_a_policy(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate({"budgets": [{"name": "a", "limit": "1 request/minute"}]}, schema)


def test_the_module_runs_like_the_command(policy: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "querybudget", "check", policy],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_closed_output_pipe_is_no_error() -> None:
    command = [sys.executable, "-m", "querybudget", "schema"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as ran:
        assert ran.stdout is not None
        assert ran.stderr is not None
        ran.stdout.close()
        assert ran.stderr.read() == ""
    assert ran.returncode == 1


def test_a_shadow_budget_says_what_it_would_leave(
    policy: str, request_file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", policy, "--request", request_file]) == 0
    out = capsys.readouterr().out
    assert "fits and leaves 59 requests" in out
    assert "can never fit: the limit is 100 tokens" in out


PRICED = """
secret: 0123456789abcdef0123456789abcdef
server: {server}
models: {{"m-*": {{input: 1, output: 2, {price}}}, "*": {{input: 1, output: 2}}}}
budgets: [{{name: spend, limit: {limit}}}]
"""


@pytest.mark.parametrize(
    ("server", "price", "limit", "warning"),
    [
        ("vllm", "search: 0.01", "$5/day", "`search` of `m-*` is never charged: no answer of vllm"),
        ("ollama", "audio_output: 9", "$5/day", "`audio_output` of `m-*` is never charged"),
        ("[vllm, ollama]", "cache_write_1h: 9", "$5/day", "no answer of vllm or ollama reports it"),
        ("anthropic", "cache_write_1h: 9, search: 0.01", "$5/day", ""),
        ("openai", "audio_input: 9, image_output: 40", "$5/day", ""),
        ("vllm", "request: 0.04, reasoning: 3", "$5/day", ""),
        ("vllm", "request: 0.04", "5/day", "charge nothing: no budget is in usd"),
    ],
)
def test_check_says_which_prices_can_never_be_met(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    server: str,
    price: str,
    limit: str,
    warning: str,
) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text(PRICED.format(server=server, price=price, limit=limit))
    assert main(["check", str(path)]) == 0
    err = capsys.readouterr().err
    assert warning in err
    assert bool(err) == bool(warning), err
