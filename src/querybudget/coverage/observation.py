"""What one call shows of itself."""

from __future__ import annotations

import msgspec

__all__ = ["COARSE", "FINE", "Observation"]

FINE = 4096
"""Buckets of the fine codebook: what quotas in buckets count."""

COARSE = 256
"""Buckets of the coarse codebook; every fine bucket lies in one of them."""


class Observation(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one call shows of itself: bucket numbers and hashes, never text or vectors.

    Attributes:
        cells: Fine buckets of the call's prompts, distinct, ascending; an array of inputs may have
            many, a chat has one. Empty where nothing could be embedded.
        coarse: Coarse bucket of the first prompt; -1 where nothing could be embedded.
        point: The first prompt's vector in a few signed bytes, keyed like the buckets.
        words: 16-bit hashes of the words asked, distinct, little-endian, at most a few hundred.
        traits: Plain facts of the ask, as `querybudget.coverage.style` gives them.
        template: 32-bit keyed hash of the fixed frame; 0 where there is none.
        ask: 32-bit keyed hash of the ask, to know a repeat.
        capabilities: Bit n is set where the call is of the policy's n-th capability.
        more: Of an array of prompts: the others, each as if it had been sent alone. `cells` and
            `capabilities` above are those of all.
    """

    cells: tuple[int, ...] = ()
    coarse: int = -1
    point: bytes = b""
    words: bytes = b""
    traits: tuple[int, ...] = ()
    template: int = 0
    ask: int = 0
    capabilities: int = 0
    more: tuple[Observation, ...] = ()
