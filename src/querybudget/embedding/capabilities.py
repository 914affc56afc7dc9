"""Recognises the capabilities of a model that a prompt asks for, from examples.

Each capability is a direction in the embedding, found by ridge regression of its examples against
the examples of the others and against the codebook's cells, which stand for all other prompts.
More examples therefore cost nothing when a prompt comes in, and three are enough. A prompt shows
every capability whose direction it follows beyond a threshold: none, one or several.

The threshold is found on the examples themselves, each evaluated by a direction that was fitted
without it (leave-one-out, which ridge regression has in closed form).

Heuristics on the text catch what the embedding misses. Only those that rarely mislead are used: on
prompts of known kinds, those of code were right 19 times in 20 and found more than a third of the
prompts that are code without a word about programming; those of role play were right 14 times in
15 and found two fifths. That of reasoning matched 1 of 250 prompts of all kinds, and 11 of the 18
shipped examples.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import yaml

from querybudget.coverage.style import STYLE_FEATURES
from querybudget.errors import SetupError
from querybudget.text import listed, nearest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from querybudget.embedding.codebook import Codebook

Heuristic = Callable[[str, Sequence[int]], bool]
"""Whether a prompt, with its style features, shows a capability."""

_RIDGE = 10.0
"""Strength of the ridge, in examples: best on prompts of known kinds, between 3 and 30."""

_MISS_COST = 0.7
"""Cost of a missed example in choosing the threshold; a false match costs 1."""

_MIN_SHARE, _SHARE, _MAX_SHARE = 0.01, 0.02, 0.2
"""Shares of all cells: the least that a capability matches, how much each example may add, and the
most that all of them may match. A few examples, fitted without knowing the others, thus match
neither nothing nor half of all prompts."""

_READ_CHARACTERS = 500
"""Characters of a prompt that the heuristics read."""

_ROLE_PLAY = re.compile(
    r"\W{0,9}(?:i want you to |please |let's )?"
    r"(?:act|behave|imagine you|pretend|role-?play|you are (?:now )?(?:an?|the) )",
    re.IGNORECASE,
)
_REASONING = STYLE_FEATURES.index("reasoning")


@functools.cache
def shipped_examples() -> Mapping[str, tuple[str, ...]]:
    """Return the example prompts of the shipped capabilities, by name, in the shipped order."""
    text = files("querybudget.embedding").joinpath("data/capabilities.yaml").read_text("utf-8")
    return {name: tuple(examples) for name, examples in yaml.safe_load(text).items()}


def examples_of(name: str, examples: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the examples of a capability: the policy's own `examples`, or the shipped ones.

    Raises:
        SetupError: It has no examples and is not a shipped capability.
    """
    if examples:
        return tuple(examples)
    shipped = shipped_examples()
    if name not in shipped:
        raise SetupError(
            f"expected examples for the capability `{name}`{nearest(name, shipped)}, or one of"
            f" {listed(shipped)}"
        )
    return shipped[name]


def heuristics(names: Sequence[str]) -> tuple[tuple[int, Heuristic], ...]:
    """Return the bit and the heuristic of each capability in `names` that has one."""
    return tuple(
        (1 << bit, _HEURISTICS[name]) for bit, name in enumerate(names) if name in _HEURISTICS
    )


class Directions(msgspec.Struct, frozen=True, eq=False):
    """Directions and thresholds of capabilities, for the vectors of one codebook.

    Attributes:
        mean: The codebook's mean; shape (dimensions,).
        rows: One direction per capability; shape (capabilities, dimensions).
        thresholds: How far along its direction a vector must lie; shape (capabilities,).
    """

    mean: NDArray[np.float32]
    rows: NDArray[np.float32]
    thresholds: NDArray[np.float32]

    @classmethod
    def fit(cls, examples: Sequence[NDArray[np.float32]], codebook: Codebook) -> Directions:
        """Fit the directions.

        Args:
            examples: Unit vectors of each capability's examples, in the order of the bits.
            codebook: A codebook of the same embedding.
        """
        kinds = np.concatenate([np.full(len(part), kind) for kind, part in enumerate(examples)])
        prompts = _centred(np.concatenate(examples), codebook.mean).astype(np.float64)
        others = codebook.fine.reshape(-1, codebook.dimensions).astype(np.float64)
        share = len(prompts) / len(others)  # all cells weigh as much as all examples
        inner = prompts.T @ prompts + share * (others.T @ others)
        inverse = np.linalg.inv(inner + _RIDGE * np.eye(codebook.dimensions))
        targets = (kinds[:, None] == np.arange(len(examples))).astype(np.float64)
        columns = inverse @ (prompts.T @ targets)
        leverage = np.einsum("nd,de,ne->n", prompts, inverse, prompts)[:, None]
        left_out = (prompts @ columns - leverage * targets) / (1 - leverage)
        background = others @ columns
        thresholds = [
            _threshold(
                left_out[kinds == kind, kind], left_out[kinds != kind, kind], background[:, kind]
            )
            for kind in range(len(examples))
        ]
        return cls(
            codebook.mean, columns.T.astype(np.float32), np.array(thresholds, dtype=np.float32)
        )

    def bits(self, vector: NDArray[np.float32]) -> int:
        """Return a number whose bit n is set if the vector shows the n-th capability."""
        centred = vector - self.mean
        needed = self.thresholds * np.sqrt(centred.dot(centred))
        follows = self.rows.dot(centred) >= needed
        return int.from_bytes(np.packbits(follows, bitorder="little").tobytes(), "little")


def _centred(vectors: NDArray[np.float32], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    centred = vectors - mean
    lengths = np.sqrt(np.einsum("nd,nd->n", centred, centred))
    return np.asarray(centred / np.maximum(lengths, 1e-12)[:, None], np.float32)


def _threshold(
    examples: NDArray[np.float64], others: NDArray[np.float64], background: NDArray[np.float64]
) -> float:
    """Return the threshold with the lowest cost of missed examples and false matches."""
    candidates = np.sort(np.concatenate((examples, others)))
    missed = np.searchsorted(np.sort(examples), candidates) / len(examples)
    matched = _share_above(background, candidates)
    if len(others):
        matched = (matched + _share_above(others, candidates)) / 2
    best = candidates[np.argmin(_MISS_COST * missed + matched)]
    maximum = min(_SHARE * len(examples), _MAX_SHARE)
    return float(np.clip(best, *np.quantile(background, (1 - maximum, 1 - _MIN_SHARE))))


def _share_above(
    scores: NDArray[np.float64], candidates: NDArray[np.float64]
) -> NDArray[np.float64]:
    return 1 - np.searchsorted(np.sort(scores), candidates) / len(scores)


def _shows_code(ask: str, _: Sequence[int]) -> bool:
    start = ask[:_READ_CHARACTERS]
    return (
        "```" in start
        or "def " in start
        or "import " in start
        or "#include" in start
        or ";\n" in start
    )


def _shows_role_play(ask: str, _: Sequence[int]) -> bool:
    return _ROLE_PLAY.match(ask) is not None


def _shows_reasoning(_: str, style: Sequence[int]) -> bool:
    return bool(style) and style[_REASONING] > 0


_HEURISTICS: dict[str, Heuristic] = {
    "coding": _shows_code,
    "reasoning_elicitation": _shows_reasoning,
    "role_play": _shows_role_play,
}
