"""`querybudget completion`: the scripts that shells load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from querybudget.cli.completion import SHELLS
from querybudget.cli.main import main

ASK = """
source ./script
COMP_WORDS=({words}) COMP_CWORD={at}
_shtab_querybudget querybudget "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
echo "${{COMPREPLY[@]}}"
"""


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["completion", shell]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", SHELLS)
def test_each_shell_gets_a_script_with_every_command(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = script(shell, capsys)
    for word in ("check", "explain", "test", "replay", "junit"):
        assert word in text


@pytest.mark.skipif(sys.platform == "win32", reason="asks bash")
@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("querybudget expl", {"explain"}),
        ("querybudget test --j", {"--json", "--junit"}),
        ("querybudget test pol", {"policy.yaml"}),
        ("querybudget preset dis", {"distillation"}),
    ],
)
def test_bash_completes_commands_options_files_and_presets(
    words: str, found: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "script").write_text(script("bash", capsys))
    (tmp_path / "policy.yaml").touch()
    asked = ASK.format(words=words, at=words.count(" "))
    ran = subprocess.run(
        ["bash", "-c", asked],  # noqa: S607 - whichever bash there is
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert set(ran.stdout.split()) == found


def test_without_its_package_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert "pip install 'querybudget[cli]'" in capsys.readouterr().err
