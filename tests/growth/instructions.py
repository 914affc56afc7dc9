"""Counts what Python executes, which is the same on every machine, however busy it is."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeAlias

TOOL = 4
"""Of the tools that `sys.monitoring` tells apart, one that has no name of its own."""

Tracer: TypeAlias = Callable[[FrameType, str, Any], Any]


def instructions(function: Callable[..., object], *arguments: object) -> int:
    """Return how many bytecode instructions a call executes, in every function that it calls.

    What a function of C does counts as one instruction. Those that this package calls in loops take
    time in proportion to their arguments; expressions are counted in `backtracking`.
    """
    return _count(function, *arguments)


if sys.version_info >= (3, 12):

    def _count(function: Callable[..., object], *arguments: object) -> int:
        """By monitoring: there, a tracer misses the start of what it sees for the first time."""
        count, thread, monitoring = 0, threading.get_ident(), sys.monitoring

        def executed(_code: CodeType, _offset: int) -> None:
            nonlocal count
            count += threading.get_ident() == thread

        monitoring.use_tool_id(TOOL, __name__)
        monitoring.register_callback(TOOL, monitoring.events.INSTRUCTION, executed)
        monitoring.set_events(TOOL, monitoring.events.INSTRUCTION)
        try:
            function(*arguments)
        finally:
            monitoring.set_events(TOOL, monitoring.events.NO_EVENTS)
            monitoring.register_callback(TOOL, monitoring.events.INSTRUCTION, None)
            monitoring.free_tool_id(TOOL)
        return count

else:

    def _count(function: Callable[..., object], *arguments: object) -> int:
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
