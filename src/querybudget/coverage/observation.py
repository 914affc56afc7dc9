"""What one call contributes to coverage."""

from __future__ import annotations

import msgspec

FINE = 4096
"""Number of fine buckets: what quotas in buckets count."""

COARSE = 256
"""Number of coarse buckets; every fine bucket lies in one of them."""


class Observation(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Bucket numbers and hashes of one call, never its text or vectors.

    Attributes:
        cells: Fine buckets of the call's prompts, distinct, ascending. A chat call has one, an
            array of inputs may have many. Empty if the call could not be embedded.
        coarse: Coarse bucket of the first prompt; -1 if it could not be embedded.
        point: The first prompt's vector in 32 signed bytes, keyed like the buckets.
        words: Bitmap of the first prompt's words, little-endian.
        style: `querybudget.coverage.style.STYLE_FEATURES` of the first prompt.
        template: 32-bit keyed hash of the system prompt; 0 without one.
        ask: 32-bit keyed hash of the first prompt, to recognise repeats.
        capabilities: Bit n is set if the call shows the policy's n-th capability.
        more: The other prompts of an array, each as if it had been sent alone. `cells` and
            `capabilities` above cover all of them.
    """

    cells: tuple[int, ...] = ()
    coarse: int = -1
    point: bytes = b""
    words: bytes = b""
    style: tuple[int, ...] = ()
    template: int = 0
    ask: int = 0
    capabilities: int = 0
    more: tuple[Observation, ...] = ()
