"""Counts what Python executes, which is the same on every machine, however busy it is."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, TypeAlias

Tracer: TypeAlias = Callable[[FrameType, str, Any], Any]


def instructions(function: Callable[..., object], *arguments: object) -> int:
    """Return how many bytecode instructions a call executes, in every function that it calls.

    What a function of C does counts as one instruction. Those that this package calls in loops take
    time in proportion to their arguments; expressions are counted in `backtracking`.
    """
    count = 0

    def trace(frame: FrameType, event: str, _argument: object) -> Tracer:
        nonlocal count
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        count += event == "opcode"
        return trace

    _traced(trace, function, *arguments)
    return count


def lines(function: Callable[..., object], *arguments: object) -> int:
    """Return how many lines a call executes, in every function that it calls: this is faster."""
    count = 0

    def trace(_frame: FrameType, event: str, _argument: object) -> Tracer:
        nonlocal count
        count += event == "line"
        return trace

    _traced(trace, function, *arguments)
    return count


def _traced(trace: Tracer, function: Callable[..., object], *arguments: object) -> None:
    """Call a function under a tracer, then give back the one before, which measures coverage."""
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function(*arguments)
    finally:
        sys.settrace(before)
