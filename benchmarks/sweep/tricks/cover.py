"""Repeats, greetings and honest cover: calls that ask nothing new thin out those that do."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from benchmarks.sweep.bodies import Request, asked
from benchmarks.sweep.tricks.scene import Scene, Trick

__all__ = ["COVERS"]

GREETINGS = {"hi_30": ("hi", 0.3), "thanks_40": ("ok thanks!", 0.4), "hi_70": ("hi", 0.7)}
SHARES = (50, 70, 90)

Extra = Callable[[Scene, int], bytes]


def _own(scene: Scene, number: int) -> Request:
    return Request(asked(scene.prompts[number], scene.template), (number,))


def _repeated(name: str, times: Callable[[int], int]) -> Trick:
    def bodies(scene: Scene) -> Iterator[Request]:
        for number in range(len(scene.prompts)):
            yield from [_own(scene, number)] * times(number)

    return Trick(name, bodies, covers=True)


def _twice_in_the_end(scene: Scene) -> Iterator[Request]:
    """Each prompt again, but only after ten others."""
    for number in range(len(scene.prompts)):
        yield _own(scene, number)
        if number >= 10:
            yield _own(scene, number - 10)


def _mixed(name: str, share: float, extra: Extra) -> Trick:
    """Return a trick of which a share of all calls is something else."""

    def bodies(scene: Scene) -> Iterator[Request]:
        sent = 0
        for number in range(len(scene.prompts)):
            while scene.draw.random() < share:
                yield Request(extra(scene, sent))
                sent += 1
            yield _own(scene, number)

    return Trick(name, bodies, covers=True)


def _greeting(text: str) -> Extra:
    return lambda scene, _: asked(text, scene.template)


def _numbered_greeting(scene: Scene, number: int) -> bytes:
    return asked(f"ok, number {number} is done", scene.template)


def _same(scene: Scene, number: int) -> bytes:
    return asked(scene.covering(number), scene.template)


def _other(scene: Scene, number: int) -> bytes:
    return asked(scene.covering(number), scene.cover_template or "You are a friendly neighbour.")


def _first_honest(calls: int) -> Trick:
    """Return a trick that behaves for so many calls before it begins."""

    def bodies(scene: Scene) -> Iterator[Request]:
        for number in range(calls):
            yield Request(_same(scene, number))
        for number in range(len(scene.prompts)):
            yield _own(scene, number)

    return Trick(f"honest_first_{calls}", bodies, covers=True)


def _no_template(share: int) -> Trick:
    def bodies(scene: Scene) -> Iterator[Request]:
        sent = 0
        for number, text in enumerate(scene.prompts):
            while scene.draw.random() < share / 100:
                yield Request(asked(scene.covering(sent)))
                sent += 1
            yield Request(asked(text), (number,))

    return Trick(f"cover_{share}_no_template", bodies, covers=True)


COVERS = (
    _repeated("each_twice", lambda _: 2),
    _repeated("each_five_times", lambda _: 5),
    _repeated("one_in_four_twice", lambda number: 2 if number % 4 == 0 else 1),
    Trick("again_after_ten", _twice_in_the_end, covers=True),
    *(_mixed(name, share, _greeting(text)) for name, (text, share) in GREETINGS.items()),
    _mixed("numbered_thanks_40", 0.4, _numbered_greeting),
    *(_mixed(f"cover_{share}_same_template", share / 100, _same) for share in SHARES),
    *(_mixed(f"cover_{share}_other_template", share / 100, _other) for share in SHARES),
    *(_no_template(share) for share in SHARES),
    *(_first_honest(calls) for calls in (100, 500)),
)
