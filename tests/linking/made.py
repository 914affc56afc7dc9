"""Made populations: honest accounts of every kind, and campaigns of many that belong together."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

from querybudget.coverage.trace import BIN, BINS, MINUTE, Trace
from querybudget.linking.candidates import Candidate
from querybudget.linking.grouping import Link, links

NOW = 28_000_000
"""Minutes since the epoch."""

DAY = 24 * 60
DECAY = 14 * DAY
CELLS = 2_048
ASKED = 26
SOLD = 100
"""Cells that people ask about most."""


class World:
    """Accounts, made one after the other from one seed.

    Attributes:
        members: All of them.
        campaign: Keys of those that belong to one campaign.
    """

    def __init__(self, seed: int = 1, established: int = 600, newcomers: int = 300) -> None:
        members, state = beginning(seed, established, newcomers)
        self.draw = random.Random()
        self.draw.setstate(state)
        self.members = [*members]
        self.campaign: set[str] = set()

    def own_template(self) -> int:
        """Of few accounts each, but for some popular ones."""
        return int(self.draw.paretovariate(0.4)) % 10_000 + 1

    def honest(self, *, established: bool = False, template: int = 0, **known: Any) -> Candidate:
        """Add an honest account."""
        tail = self.honest_tail()
        return self._add(
            established=established and tail == 0,
            template=template,
            **{"cells": self.interests(), "tail": tail, **known},
        )

    def sweeper(self, *, template: int = 0, **known: Any) -> Candidate:
        """Add an account of the campaign: half are beyond the last tail, as measured."""
        tail = self.draw.choices((0, 1, 2, 3), (4, 6, 15, 75))[0]
        cells = [self.draw.randrange(CELLS) for _ in range(ASKED)]
        member = self._add(template=template, **{"cells": cells, "tail": tail, **known})
        self.campaign.add(member.key)
        return member

    def honest_tail(self) -> int:
        at = self.draw.random()
        return (at < 0.1) + (at < 0.03) + (at < 0.01)

    def interests(self) -> list[int]:
        """A few subjects that are popular, again and again, and something else now and then."""
        own = [self.draw.randrange(SOLD) for _ in range(8)]
        return [
            self.draw.choice(own) if self.draw.random() < 0.7 else self.draw.randrange(CELLS)
            for _ in range(ASKED)
        ]

    def bins(self, calls: int = ASKED) -> list[int]:
        """Some of the last bins, at random."""
        last = NOW * MINUTE // BIN
        return [last - self.draw.randrange(BINS) for _ in range(calls)]

    def _add(
        self,
        *,
        cells: list[int],
        tail: int,
        established: bool = False,
        template: int = 0,
        marks: tuple[int, ...] = (),
        bins: Sequence[int] | None = None,
        began: int = 0,
        slowed: int = 0,
        seen: int = NOW,
    ) -> Candidate:
        bitmap = bytearray(CELLS // 8)
        for cell in cells:
            bitmap[cell >> 3] |= 128 >> (cell & 7)
        trace = Trace()
        for at in sorted(bins if bins is not None else self.bins()):
            trace.note((), at * BIN)
        member = Candidate(
            f"{len(self.members):08x}{self.draw.getrandbits(96):024x}",
            seen,
            (template,) if template else (),
            marks,
            bytes(bitmap),
            trace.active,
            trace.last,
            began or NOW - self.draw.randrange(30 * DAY) - 30 * DAY * established,
            slowed,
            tail,
            established,
        )
        self.members.append(member)
        return member

    def links(
        self, largest: int = 1_000, present: Mapping[str, str] = MappingProxyType({})
    ) -> list[Link]:
        """Link all accounts."""
        return links(self.members, present, largest, NOW, DECAY)

    def judged(self) -> tuple[float, float, int]:
        """Return the precision and recall of all links, and the honest in the largest group."""
        found = self.links()
        linked = {link.account for link in found}
        right = len(linked & self.campaign)
        honest: dict[str, int] = {}
        for link in found:
            wrong = link.account not in self.campaign
            honest[link.group] = honest.get(link.group, 0) + wrong
        return (
            right / len(linked) if linked else 1.0,
            right / len(self.campaign) if self.campaign else 1.0,
            max(honest.values(), default=0),
        )


@cache
def beginning(
    seed: int, established: int, newcomers: int
) -> tuple[tuple[Candidate, ...], tuple[Any, ...]]:
    """Return a world's honest accounts, and how its draws go on: many tests begin with the same."""
    if not (established or newcomers):
        return (), random.Random(seed).getstate()
    world = World(seed, 0, 0)
    for number in range(established + newcomers):
        world.honest(established=number < established, template=world.own_template())
    return tuple(world.members), world.draw.getstate()
