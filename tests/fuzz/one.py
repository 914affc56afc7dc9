"""Fuzz one target with atheris: `python -m tests.fuzz.one NAME`, then libFuzzer's options."""

from __future__ import annotations

import sys
import warnings
from importlib import import_module
from typing import Any


def main() -> None:
    fuzzer: Any = import_module("atheris")  # not everywhere installed, and without types
    with fuzzer.instrument_imports(include=["querybudget"]), warnings.catch_warnings():
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - instrumented by being imported here

    name = sys.argv.pop(1)
    fuzzer.Setup(sys.argv, TARGETS[name])
    fuzzer.Fuzz()


if __name__ == "__main__":
    main()
