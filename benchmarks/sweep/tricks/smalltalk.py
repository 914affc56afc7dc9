"""Small talk around a task that is new in nearly every call, and an order in which each task is
followed by the one most like it."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from math import log

import numpy as np

from benchmarks.sweep.bodies import Request, asked
from benchmarks.sweep.tricks.scene import Scene, Trick

__all__ = ["SMALL_TALK"]

_PARTS = {
    "hi": "Hi|Hey|Hello|Hiya|Morning|Good evening|Hi again|Me again|Sorry to bug you|Quick one",
    "name": "there|friend|dear|buddy|you|mate|all|pal|my favourite helper|old chum",
    "time": "week|day|morning|weekend|evening|month|Monday|holiday|commute|lunch break",
    "fine": "good|calm|going well|less wet than mine|as sunny as ours|off to a good start|short",
    "who": "sister|boss|neighbour|aunt|flatmate|son|old teacher|dentist|cousin|running partner",
    "where": "at dinner|on the bus|at work|over coffee|on the phone|by the pool|at the gym",
    "does": "asked me this|keeps on about this|bet me a beer|wants to know|got stuck on this",
    "mood": "tired|curious|puzzled|a bit lost|in a hurry|half asleep|excited|not sure about this",
    "why": "for a friend|for fun|before bed|to settle it|so that I can sleep|as a favour|for once",
    "ever": "Any idea|What do you reckon|Does that ring a bell|What would you say|Can you help",
    "ta": "Thanks|Thanks so much|Cheers|Ta|Much appreciated|I owe you one|Many thanks",
    "star": "a star|the best|a gem|a lifesaver|a legend|so patient|too kind|an angel|brilliant",
}
_CHOICES = {name: words.split("|") for name, words in _PARTS.items()}
_BEFORE = (
    "{hi} {name}! Hope your {time} is {fine}. I was {where} when my {who} {does} - ",
    "{hi} {name}, I am {mood} today... my {who} {does} {where}, {why}: ",
    "So I was {mood}, and {where} my {who} {does}. ",
    "My {time} was {fine}, thanks for asking! Now my {who} {does}, {why}. ",
    "Ugh, my {who} is {mood} again {where} and {does}, so {why} ",
    "{hi}! One more {why}, my {who} said {where} that I am {mood}: ",
)
_BEHIND = (
    " {ta}, you're {star}!",
    " {ever}? My {who} says you are {star}.",
    " {ever}, {name}? I am {mood}.",
    " - {ta}! Have a {time} that is {fine}.",
    "",
)


def _talk(forms: Sequence[str], draw: random.Random) -> str:
    """Return one of the forms, filled with words of each of its lists."""
    return draw.choice(forms).format_map({n: draw.choice(some) for n, some in _CHOICES.items()})


def _nearest(texts: Sequence[str]) -> list[int]:
    """Return an order in which each text is followed by the one of the rest that is most like it.

    Likeness is that of their words, those that few texts have counting more.
    """
    held = [Counter(re.findall(r"\w{3,}", text.lower()) or [*text]) for text in texts]
    having = Counter(word for words in held for word in words)
    place = {word: number for number, word in enumerate(having)}
    vectors = np.zeros((len(texts), len(place)), np.float32)
    for row, words in enumerate(held):
        for word, times in words.items():
            vectors[row, place[word]] = (1 + log(times)) * log(1.01 * len(texts) / having[word])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9
    order, rest = [0], np.ones(len(texts), bool)
    rest[0] = False
    while len(order) < len(texts):
        order.append(int(np.argmax(np.where(rest, vectors @ vectors[order[-1]], -1))))
        rest[order[-1]] = False
    return order


def _in_talk(scene: Scene, order: Iterable[int]) -> Iterator[Request]:
    for number in order:
        before, behind = _talk(_BEFORE, scene.draw), _talk(_BEHIND, scene.draw)
        text = before + scene.prompts[number].lower() + behind
        yield Request(asked(text, scene.template), (number,))


def _in_nearest_order(scene: Scene) -> Iterator[Request]:
    for number in _nearest(scene.prompts):
        yield Request(asked(scene.prompts[number], scene.template), (number,))


SMALL_TALK = (
    Trick("small_talk", lambda scene: _in_talk(scene, range(len(scene.prompts)))),
    Trick("nearest_next", _in_nearest_order),
    Trick("nearest_in_small_talk", lambda scene: _in_talk(scene, _nearest(scene.prompts))),
)
