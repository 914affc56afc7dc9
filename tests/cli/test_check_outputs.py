"""`check` says what a server will write, send and show, and what of it will not work here."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from querybudget.cli.main import main

POLICY = """\
secret: 0123456789abcdef0123456789abcdef
budgets: [{name: rpm, limit: 60/minute}]
"""


def checked(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, str]:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY + text)
    assert main(["check", str(path)]) == 0
    return capsys.readouterr()


def test_a_policy_that_writes_nothing_says_nothing_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, err = checked(tmp_path, "", capsys)
    assert not any(word in out + err for word in ("traffic log", "webhooks", "metrics:"))


@pytest.mark.parametrize(
    ("prompts", "says"), [("true", "with prompts in plain text"), ("false", "without prompts")]
)
def test_check_says_where_calls_are_written(
    tmp_path: Path, prompts: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log = f"traffic_log: {{path: {tmp_path}/new/log.jsonl.gz, prompts: {prompts}}}\n"
    out, err = checked(tmp_path, log, capsys)
    assert f"beside {tmp_path}/new/log.jsonl.gz, as gzip, {says}" in out
    assert "another file after 105 MB or 1 day; 100 files are kept" in out
    assert "cannot be written" not in err
    assert not (tmp_path / "new").exists()


def test_check_warns_of_a_log_that_cannot_be_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for path, says in ((tmp_path, "the folder"), (tmp_path / "file" / "log", "the file")):
        assert says in checked(tmp_path, f"traffic_log: {path}\n", capsys)[1]
    if os.geteuid():  # root may write everywhere
        closed = tmp_path / "closed"
        closed.mkdir(mode=0o500)
        _, err = checked(tmp_path, f"traffic_log: {closed}/log\n", capsys)
        assert "this user may not write" in err


def test_check_says_what_is_sent_and_shown_and_nothing_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (
        "webhooks: {url: 'http://hooks.example/path/hidden', secret: a-secret-of-16-bytes,"
        " events: [refused, store_down]}\nmetrics: /-/metrics\n"
    )
    out, err = checked(tmp_path, text, capsys)
    assert "signed messages go to http://hooks.example about refused, store_down" in out
    assert "Prometheus scrapes /-/metrics" in out
    assert "without encryption" in err
    assert "hidden" not in out + err
    assert "a-secret" not in out + err
