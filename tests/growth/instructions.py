"""Counts what Python executes, which is the same on every machine, however busy it is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any


def instructions(function: Callable[..., object], *arguments: object) -> int:
    """Return how many bytecode instructions a call executes, in every function that it calls.

    What a function of C does counts as one instruction. Those that this package calls in loops take
    time in proportion to their arguments; expressions are counted in `backtracking`.
    """
    count = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Callable[..., Any]:
        nonlocal count
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        if event == "opcode":
            count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*arguments)
    finally:
        sys.settrace(before)
    return count
