"""Order, times and accounts: who asks what when."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.sweep.bodies import Request, asked
from benchmarks.sweep.tricks.scene import Scene, Trick

__all__ = ["PACES"]

SLOW = 26
"""Requests a day of a patient account."""


def _in_order(scene: Scene, order: Sequence[int]) -> Iterator[Request]:
    for number in order:
        yield Request(asked(scene.prompts[number], scene.template), (number,))


def _plain(scene: Scene) -> Iterator[Request]:
    return _in_order(scene, range(len(scene.prompts)))


def _by_topic(scene: Scene) -> Iterator[Request]:
    order = sorted(range(len(scene.prompts)), key=lambda number: scene.topics[number])
    return _in_order(scene, order)


def _topic_a_day(scene: Scene) -> Iterator[Request]:
    """One topic at a time, each on a day of its own."""
    order = sorted(range(len(scene.prompts)), key=lambda number: scene.topics[number])
    before = scene.topics[order[0]]
    for number in order:
        topic = scene.topics[number]
        body = asked(scene.prompts[number], scene.template)
        yield Request(body, (number,), new_day=topic != before)
        before = topic


def _by_length(scene: Scene) -> Iterator[Request]:
    order = sorted(range(len(scene.prompts)), key=lambda number: len(scene.prompts[number]))
    return _in_order(scene, order)


def _by_likeness(scene: Scene) -> Iterator[Request]:
    """Sorted by text, so that like beginnings follow each other."""
    order = sorted(range(len(scene.prompts)), key=lambda number: scene.prompts[number])
    return _in_order(scene, order)


def _accounts(count: int) -> Trick:
    def bodies(scene: Scene) -> Iterator[Request]:
        for number, text in enumerate(scene.prompts):
            yield Request(asked(text, scene.template), (number,), account=number % count)

    return Trick(f"accounts_{count}_in_turn", bodies)


PACES = (
    Trick("opened_together", _plain, together=True),
    Trick("slow_26_a_day", _plain, per_day=SLOW),
    Trick("fast_20000_a_day", _plain, per_day=20_000),
    Trick("by_topic", _by_topic),
    Trick("one_topic_a_day", _topic_a_day),
    Trick("by_length", _by_length),
    Trick("by_first_words", _by_likeness),
    _accounts(2),
    _accounts(5),
)
