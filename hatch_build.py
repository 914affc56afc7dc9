"""Builds the compiled kernel into a wheel where there is a compiler; else the wheel is pure Python.

The environment variable QUERYBUDGET_KERNEL decides: ``1`` demands the kernel, ``0`` leaves it out,
and by default it is built if it can be. The kernel uses the stable ABI, so that one wheel of a
platform serves Python 3.11 and later.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

CHOICE = "QUERYBUDGET_KERNEL"
SOURCE = Path("src/querybudget/embedding/_kernel.c")
FLAGS = ["-O3", "-std=c11", "-ffp-contract=off", "-fvisibility=hidden"]
"""Without contraction, since results must be the same wherever a processor fuses operations."""

WINDOWS = os.name == "nt"
NAME = "_kernel.pyd" if WINDOWS else "_kernel.abi3.so"


class KernelHook(BuildHookInterface[Any]):
    """Compiles the kernel, and marks the wheel as one of this platform."""

    _folder: tempfile.TemporaryDirectory[str] | None = None

    def dependencies(self) -> list[str]:
        """Return what the build needs: on Windows, setuptools knows how to call compilers."""
        return ["setuptools>=75"] if WINDOWS and os.environ.get(CHOICE) != "0" else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile it; beside its source for an editable installation, else into the wheel."""
        choice = os.environ.get(CHOICE, "")
        editable = version == "editable"
        if choice == "0" or (editable and choice != "1"):
            return
        self._folder = None if editable else tempfile.TemporaryDirectory()
        built = Path(self._folder.name) if self._folder else Path(self.root, SOURCE.parent)
        try:
            _compile(Path(self.root, SOURCE), built / NAME)
        except (ImportError, OSError, RuntimeError, subprocess.CalledProcessError) as error:
            self.finalize(version, build_data, "")
            if choice == "1":
                raise
            self.app.display_warning(
                f"querybudget's kernel was not compiled ({error}): the wheel is pure Python, which"
                f" does the same and takes longer. {CHOICE}=1 makes this an error."
            )
            return
        if not editable:
            build_data["force_include"][str(built / NAME)] = f"querybudget/embedding/{NAME}"
            build_data["pure_python"] = False
            build_data["tag"] = f"cp311-abi3-{_platform()}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002 - hatchling calls it so
        """Remove what was compiled: it is in the wheel."""
        if self._folder is not None:
            self._folder.cleanup()


def _platform() -> str:
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


def _compile(source: Path, into: Path) -> None:
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED"):
        raise RuntimeError("this Python has no stable ABI")
    (_by_setuptools if WINDOWS else _by_cc)(source, into)


def _by_cc(source: Path, into: Path) -> None:
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    linker = (sysconfig.get_config_var("LDSHARED") or "cc -shared").split(" ", 1)[1:]
    command = [
        *shlex.split(compiler),
        *FLAGS,
        *shlex.split(sysconfig.get_config_var("CCSHARED") or "-fPIC"),
        *shlex.split(os.environ.get("ARCHFLAGS", "")),
        *(f"-I{sysconfig.get_path(kind)}" for kind in ("include", "platinclude")),
        str(source),
        *shlex.split(" ".join(linker)),
        "-o",
        str(into),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the compiler that Python was built with
    if done.returncode:
        raise RuntimeError(done.stderr.strip()[-500:] or f"{command[0]} failed")


def _by_setuptools(source: Path, into: Path) -> None:
    from setuptools import Distribution, Extension  # noqa: PLC0415 - on Windows alone
    from setuptools.command.build_ext import build_ext  # noqa: PLC0415

    extension = Extension("_kernel", [str(source)], py_limited_api=True, extra_compile_args=["/O2"])
    command = build_ext(Distribution({"ext_modules": [extension]}))
    command.build_lib = command.build_temp = str(into.parent)
    command.finalize_options()
    command.run()
    Path(command.get_ext_fullpath("_kernel")).replace(into)
