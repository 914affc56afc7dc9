"""The way of one caller over the map: the cells that its calls enter, and its score meanwhile.

Where prompts were logged, they go through the analyzer and a new profile, as they would on a
server. Otherwise the log says how much new ground each call entered, and how high strain was.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from querybudget.adapters.base import Call, Channel, Dialect, Segment
from querybudget.coverage import Observation
from querybudget.coverage.caller import CallerProfile
from querybudget.report.facts import is_refused
from querybudget.traffic.record import TrafficRecord
from querybudget.units import MICRO

if TYPE_CHECKING:
    from querybudget.limiter import PromptAnalyzer

NO_CAPABILITY = "none"


class Step(msgspec.Struct, frozen=True, gc=False):
    """One cell that a call entered.

    Attributes:
        cell: Its number.
        capability: The first capability that is recognised there.
    """

    cell: int
    capability: str


class Walk(msgspec.Struct):
    """What one caller's calls did.

    Attributes:
        account: Key of the identity.
        steps: The cells entered, in order; empty if prompts were not logged.
        ground: For each call, the new ground entered so far.
        scores: For each call, its score (of prompts) or strain (of the log), from 0.
        stages: For each call, what was done to it, or in shadow would have been.
    """

    account: str
    steps: list[Step] = []
    ground: list[int] = []
    scores: list[float] = []
    stages: list[str] = []


async def walk_of(
    account: str, records: Sequence[TrafficRecord], analyzer: PromptAnalyzer | None
) -> Walk:
    """Return the way of one caller.

    Args:
        account: Key of the identity.
        records: Its calls, oldest first.
        analyzer: Of the policy; None if it counts no buckets.
    """
    walk = Walk(account)
    if analyzer is None or not any(record.texts for record in records):
        ground = 0
        for record in records:
            ground += 0 if is_refused(record) else record.novelty
            _note(walk, record, ground, record.strain / MICRO)
        return walk
    profile, entered = CallerProfile(), set[int]()
    for record in records:
        observation = await analyzer.analyze(_call(record), account)
        profile.observe(observation, record.at)
        walk.steps += _steps(observation, entered, analyzer.names)
        ground = sum(stream.chunks for stream in profile.said)
        _note(walk, record, ground, profile.score(record.at) / MICRO)
    return walk


def _note(walk: Walk, record: TrafficRecord, ground: int, score: float) -> None:
    walk.ground.append(ground)
    walk.scores.append(score)
    walk.stages.append(record.stage if record.stage != "none" else record.shadow_stage)


def _call(record: TrafficRecord) -> Call:
    segments = tuple(
        Segment(Channel.FED if each.fed else Channel.SAID, each.text)
        for each in record.texts
        if each.text
    )
    return Call(Dialect.OPENAI, record.operation or "chat", segments=segments)


def _steps(observation: Observation, entered: set[int], names: Sequence[str]) -> list[Step]:
    steps: list[Step] = []
    for chunk in (*observation.said, *observation.fed):
        if chunk.cell < 0 or chunk.cell in entered:
            continue
        entered.add(chunk.cell)
        shown = [name for bit, name in enumerate(names) if chunk.capabilities >> bit & 1]
        steps.append(Step(chunk.cell, shown[0] if shown else NO_CAPABILITY))
    return steps
