"""What a trick works with, and how tricks are written."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.sweep.bodies import CHAT, Request, asked

__all__ = ["Scene", "Trick", "body_of_each", "text_of_each"]

PER_DAY = 860


@dataclass(frozen=True)
class Scene:
    """One sweep, and what its sender has at hand to hide it.

    Attributes:
        prompts: Texts of the sweep's prompts, in the order they are asked.
        topics: Topic of each.
        template: The sweep's system prompt.
        cover: Texts of one honest caller in its own order, sent again from the start as needed.
        cover_template: That caller's system prompt.
        draw: Seeded by the names of sweep and trick.
    """

    prompts: Sequence[str]
    topics: Sequence[str]
    template: str
    cover: Sequence[str]
    cover_template: str = ""
    draw: random.Random = field(default_factory=lambda: random.Random(0))

    def covering(self, number: int) -> str:
        """Return the text of the n-th cover call."""
        return self.cover[number % len(self.cover)]


Bodies = Callable[[Scene], Iterable[Request]]


@dataclass(frozen=True)
class Trick:
    """One trick.

    Attributes:
        name: Its name in the result.
        bodies: Returns the requests of a sweep, in order.
        per_day: Requests a day.
        together: Whether all requests are opened before any of them ends.
        covers: Whether it repeats or covers, for which another goal holds.
    """

    name: str
    bodies: Bodies
    per_day: float = PER_DAY
    together: bool = False
    covers: bool = False


def body_of_each(name: str, body: Callable[[str, Scene], bytes], path: str = CHAT) -> Trick:
    """Return a trick that sends one body for each prompt."""

    def bodies(scene: Scene) -> Iterator[Request]:
        for number, text in enumerate(scene.prompts):
            yield Request(body(text, scene), (number,), path)

    return Trick(name, bodies)


def text_of_each(name: str, change: Callable[[str, Scene], str]) -> Trick:
    """Return a trick that sends each prompt as one user turn in other words."""
    return body_of_each(name, lambda text, scene: asked(change(text, scene), scene.template))
