"""`querybudget completion`: the scripts that shells load."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

from querybudget.cli.completion import SHELLS
from querybudget.cli.main import main
from querybudget.policy.presets import names

PRESETS = {f"preset:{name}" for name in names()}

ASK = """
source ./script
COMP_WORDS=({words}) COMP_CWORD={at}
_querybudget querybudget "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
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
        ("querybudget check p", {"policy.yaml", *PRESETS}),
        ("querybudget check preset : dis", {"distillation"}),  # as bash splits what is typed
        ("querybudget top --policy preset : dis", {"distillation"}),
        ("querybudget top --console http : //host --pol", {"--policy"}),
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


@pytest.mark.skipif(which("fish") is None, reason="needs fish")
@pytest.mark.parametrize("words", ["check pre", "test pre", "replay log --against pre"])
def test_fish_completes_presets_wherever_a_policy_is_named(
    words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "script").write_text(script("fish", capsys))
    ran = subprocess.run(
        ["fish", "-c", f"source ./script; complete -C 'querybudget {words}'"],  # noqa: S607 - whichever fish there is
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert {line.split("\t")[0] for line in ran.stdout.splitlines()} == PRESETS


def test_zsh_completes_presets_wherever_a_policy_is_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = script("zsh", capsys)
    assert r"'presets:preset:(preset\:campaigns preset\:distillation)'" in text
    assert text.count("]:FILE:_querybudget_policies") == text.count("--policy[") + text.count(
        "--against["
    )


def test_without_its_package_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert main(["completion", "bash"]) == 1
    assert "pip install 'querybudget[cli]'" in capsys.readouterr().err
