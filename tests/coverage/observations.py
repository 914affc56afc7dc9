"""Observations to draw and to make."""

from __future__ import annotations

import random

from hypothesis import strategies as st

from querybudget.coverage.observation import COARSE, FINE, Observation
from querybudget.coverage.style import STYLE_FEATURES, WORD_BITS

__all__ = ["made", "observations"]

PER_COARSE = FINE // COARSE


def made(
    cell: int,
    *,
    point: int = 50,
    words: int = 1,
    ask: int = 0,
    template: int = 0,
    style: tuple[int, ...] = (0,) * len(STYLE_FEATURES),
    more: tuple[Observation, ...] = (),
) -> Observation:
    return Observation(
        cells=(cell,),
        coarse=cell // PER_COARSE,
        point=bytes([point] + [0] * 31),
        words=words.to_bytes(WORD_BITS // 8, "little"),
        style=style,
        template=template,
        ask=ask,
        more=more,
    )


def _style(seed: int) -> tuple[int, ...]:
    draw = random.Random(seed)
    return tuple(draw.randrange(101) for _ in STYLE_FEATURES)


observations = st.builds(
    made,
    st.integers(0, FINE - 1) | st.integers(0, 40),
    point=st.integers(0, 255),
    words=st.integers(0, 2**12 - 1),
    ask=st.integers(0, 2**32 - 1) | st.integers(0, 3),
    template=st.integers(0, 5),
    style=st.integers(0, 2**32).map(_style),
)
