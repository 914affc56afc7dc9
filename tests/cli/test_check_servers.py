"""`check` and `explain` say what a server's preset brings."""

from __future__ import annotations

from pathlib import Path

import pytest

from querybudget.cli.main import main

BUDGETS = "budgets: [{name: rpm, limit: 60/minute}, {name: tokens, limit: 1M tokens/day}]\n"
SECRET = "secret: 0123456789abcdef0123456789abcdef\n"


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "policy.yaml"
    path.write_text(SECRET + BUDGETS + text)
    return str(path)


def test_check_says_what_each_server_brings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", written(tmp_path, "server: [vllm, ollama]\nunknown: refuse\n")]) == 0
    out = capsys.readouterr().out
    assert "server: vllm, ollama" in out
    assert "vllm also asks models at paths that nothing reads: /v1/realtime" in out
    assert "ollama streams: JSON lines" in out
    assert "monitors pass at /health, /load" in out
    assert "requests with a body on other paths: refused with status 404" in out


@pytest.mark.parametrize(
    ("unknown", "said"),
    [
        ("", "counted, each as one request and no tokens"),
        ("unknown: pass\n", "passed through uncounted"),
    ],
)
def test_check_says_what_becomes_of_what_nothing_reads(
    unknown: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", written(tmp_path, unknown)]) == 0
    out = capsys.readouterr().out
    assert "server: any" in out
    assert f"requests with a body on other paths: {said}" in out


@pytest.mark.parametrize(
    ("exempt", "said"),
    [
        ("[/live]", "exempt with any method: /live; monitors pass nowhere else"),
        ("[]", "no path is exempt, and monitors are counted too"),
    ],
)
def test_check_says_that_exempt_replaces_the_paths_of_monitors(
    exempt: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", written(tmp_path, f"exempt: {exempt}\n")]) == 0
    out = capsys.readouterr().out
    assert said in out
    assert "monitors pass at" not in out


@pytest.mark.parametrize(
    ("policy", "method", "path", "said"),
    [
        ("unknown: refuse\n", "POST", "/x", "refused, no route reads this path"),
        ("unknown: refuse\n", "GET", "/x", "admit, "),
        ("unknown: pass\n", "PUT", "/x", "untouched, no route reads this path"),
        ("", "POST", "/x", "no route reads this path, so the call counts as one request"),
        ("server: tgi\n", "GET", "/info", "the path is exempt: monitors of tgi ask /info"),
        ("server: tgi\n", "POST", "/info", "no route reads this path"),
        ("", "GET", "/load", "the path is exempt: monitors ask /load"),
        ("exempt: [/y]\n", "POST", "/y", "the path is exempt: `exempt` has /y"),
        ("exempt: [/y]\n", "GET", "/health", "admit, "),
    ],
)
def test_explain_says_why_a_path_is_read_or_not(
    policy: str,
    method: str,
    path: str,
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["explain", written(tmp_path, policy), "--method", method, "--path", path])
    assert said in capsys.readouterr().out


def test_explain_reads_a_server_s_own_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = tmp_path / "request.json"
    request.write_text('{"inputs": "abcdefgh", "parameters": {"max_new_tokens": 7}}')
    policy = written(tmp_path, "server: tgi\n")
    assert main(["explain", policy, "--path", "/", "--request", str(request)]) == 0
    out = capsys.readouterr().out
    assert "call      completions" in out
    assert "2 in, 7 out" in out


@pytest.mark.parametrize(
    ("exempt", "path"),
    [
        ("/v1/*", "/v1/chat/completions"),
        ("*", "/v1/chat/completions"),
        ("/internal/*", "/internal/ask"),
    ],
)
def test_a_pattern_that_exempts_model_calls_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], exempt: str, path: str
) -> None:
    policy = tmp_path / "policy.yaml"
    routes = "routes: [{path: /internal/ask, read: chat}]"
    policy.write_text(f"exempt: ['{exempt}', /v1/files]\n{routes}\n{BUDGETS}")
    assert main(["check", str(policy)]) == 0
    warned = capsys.readouterr().err
    assert f"`exempt` has `{exempt}`, so no call of {path} is counted" in warned
    assert "/v1/files" not in warned
