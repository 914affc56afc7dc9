"""A wheel has the kernel where it can be compiled, and is pure Python elsewhere."""

from __future__ import annotations

import runpy
import shutil
import sysconfig
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
HEADER = Path(sysconfig.get_path("include"), "Python.h")
NO_COMPILER = "/no/such/compiler"

pytest.importorskip("hatchling")


def build_data(monkeypatch: pytest.MonkeyPatch, choice: str, compiler: str) -> dict[str, Any]:
    """Return what the project's hook makes of a wheel."""
    monkeypatch.setenv("QUERYBUDGET_KERNEL", choice)
    monkeypatch.setenv("CC", compiler)
    hook = runpy.run_path(str(ROOT / "hatch_build.py"))["KernelHook"]
    data: dict[str, Any] = {"force_include": {}, "pure_python": True}
    made = hook(str(ROOT), {}, None, None, "", "wheel")
    made.initialize("standard", data)
    data["exist"] = [Path(path).is_file() for path in data["force_include"]]
    made.finalize("standard", data, "")
    return data


def test_without_a_compiler_the_wheel_is_pure_and_the_build_says_so(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    data = build_data(monkeypatch, "", NO_COMPILER)
    assert data == {"force_include": {}, "pure_python": True, "exist": []}
    out, err = capfd.readouterr()
    assert "the wheel is pure Python" in out + err


def test_the_kernel_can_be_demanded_and_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="compiler"):
        build_data(monkeypatch, "1", NO_COMPILER)
    assert build_data(monkeypatch, "0", "cc")["force_include"] == {}


@pytest.mark.skipif(
    not HEADER.exists() or shutil.which("cc") is None, reason="needs a compiler and Python.h"
)
def test_with_a_compiler_one_wheel_serves_every_python(monkeypatch: pytest.MonkeyPatch) -> None:
    data = build_data(monkeypatch, "1", "cc")
    assert data["tag"].startswith("cp311-abi3-")
    assert data["pure_python"] is False
    assert data["exist"] == [True]


def test_the_source_of_the_kernel_is_where_the_hook_looks_for_it() -> None:
    assert (ROOT / runpy.run_path(str(ROOT / "hatch_build.py"))["SOURCE"]).is_file()
