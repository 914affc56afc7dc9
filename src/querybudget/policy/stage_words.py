"""Stages as a policy's author writes them: what happens as a bucket budget is spent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from msgspec import Meta, Struct

from querybudget.coverage.response import DEFAULT_STAGES, Stage
from querybudget.policy.diagnostics import Path, Problems
from querybudget.policy.fields import Share, doc
from querybudget.text import in_units


class ThenFile(Struct, frozen=True):
    """What else happens as a bucket budget is spent, and from which share on."""

    slow: Annotated[Share, doc("Answers are delayed.")] | None = None
    degrade: Annotated[Share, doc("Answers are short, single and without log-probabilities.")] | (
        None
    ) = None
    refuse: Annotated[Share, doc("Calls are refused as abnormal use.")] | None = None


Stages = Annotated[
    ThenFile,
    Meta(extra={"words": {stage.name.lower(): in_units(begin) for stage, begin in DEFAULT_STAGES}}),
]


def stages(then: ThenFile | None, path: Path, problems: Problems) -> Iterator[tuple[Stage, int]]:
    """Build the stages in order, each with the strain at which it begins, in millionths."""
    last, last_start = "", 0
    for stage in (Stage.SLOW, Stage.DEGRADE, Stage.REFUSE):
        name = stage.name.lower()
        start: int | None = None if then is None else getattr(then, name)
        if start is None:
            continue
        if start <= last_start:
            after = f"`{last}`, which begins at {in_units(last_start)}" if last else "zero"
            message = f"expected `{name}` to begin above {after}, found `{in_units(start)}`"
            problems.add((*path, name), message)
        last, last_start = name, start
        yield stage, start
