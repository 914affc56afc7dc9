"""What a call will probably use, learnt from what calls like it did use. Pure: no clock.

Output is foreseen as TCP foresees a round trip (RFC 6298): a smoothed mean plus a multiple of the
smoothed deviation, in integers, for each caller and model; for a caller not yet known, of the
model. A caller's own bound (``max_tokens``) is never exceeded. Prompt tokens come from the size of
the text, by a rate that follows what the model's tokenizer was seen to do with this caller's text.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec
from cachetools import LRUCache

from querybudget.adapters.base import Call, Usage
from querybudget.policy.model import EstimateSettings
from querybudget.units import MICRO

__all__ = ["Estimate", "Estimator"]

SCALE = 16
"""Means and deviations are kept in 16ths of a token."""

DEVIATIONS = 2
"""How many mean deviations above the mean are held."""

TEACHES = 16
"""How many of a caller's calls are also the model's history."""

MOST = 10**9
"""Tokens foreseen at most, whatever is asked: no quota is larger, and it fits any store's
integers."""

SHORTEST, LONGEST = MICRO // 2, 16 * MICRO
"""Bounds, in µ-bytes per token, on what a tokenizer is believed to do."""


_K = TypeVar("_K")


class Estimate(msgspec.Struct, frozen=True, gc=False):
    """What a call will probably use.

    Attributes:
        usage: Tokens expected.
        certain: The part of ``usage`` that is certain to be used, or was asked for by the caller.
        bytes_per_token: UTF-8 bytes of this caller's text per token, in millionths.
    """

    usage: Usage
    certain: Usage
    bytes_per_token: int


class _History(msgspec.Struct):
    """Of one caller and model, or of one model: 16ths of tokens per choice, µ-bytes per token."""

    mean: int = 0
    deviation: int = 0
    bytes_per_token: int = 0
    calls: int = 0

    def observe(self, output: int) -> None:
        sample = output * SCALE
        if not self.mean:
            self.mean, self.deviation = sample, sample // 2
            return
        error = sample - self.mean
        self.deviation += (abs(error) - self.deviation) // 4
        self.mean = max(1, self.mean + error // 8)

    def observe_text(self, size: int, tokens: int) -> None:
        sample = min(max(size * MICRO // tokens, SHORTEST), LONGEST)
        known = self.bytes_per_token
        self.bytes_per_token = known + (sample - known) // 8 if known else sample

    @property
    def expected(self) -> int:
        return -(-(self.mean + DEVIATIONS * self.deviation) // SCALE)


class Estimator:
    """Foresees usage, and learns from it.

    Args:
        settings: What to assume before anything is known.
        callers: Pairs of caller and model remembered; the least recently seen is forgotten.
    """

    def __init__(self, settings: EstimateSettings, *, callers: int = 50_000) -> None:
        self._settings = settings
        self._callers: LRUCache[tuple[str, str], _History] = LRUCache(callers)
        self._models: LRUCache[str, _History] = LRUCache(max(1, callers // 50))

    def estimate(self, who: str, call: Call) -> Estimate:
        """What `who` will probably use by this call."""
        own = known = _find(self._callers, (who, call.model))
        if known is None:
            known = _find(self._models, call.model)
        rate = (known.bytes_per_token if known else 0) or self._settings.bytes_per_token
        prompt = self._input(call, rate)
        if not call.generates:
            usage = Usage(prompt)
            return Estimate(usage, usage, rate)
        answers = call.items * call.choices
        bound = call.max_output
        if bound is not None and (own is None or not own.mean or own.expected >= bound):
            usage = Usage(prompt, 0, 0, min(bound * answers, MOST))
            return Estimate(usage, usage, rate)
        history = known.expected if known else 0
        expected = min((history or self._settings.output_tokens) * answers, MOST)
        return Estimate(
            Usage(prompt, 0, 0, expected), Usage(prompt, 0, 0, min(answers, expected)), rate
        )

    def learn(self, who: str, call: Call, usage: Usage) -> None:
        """Remember what a call used. Estimates teach nothing.

        Of a model, each caller teaches only by its first calls: one busy caller is not everybody.
        """
        if usage.estimated:
            return
        own = _find(self._callers, (who, call.model))
        if own is None:
            own = self._callers[who, call.model] = _History()
        _observe(own, call, usage)
        if own.calls <= TEACHES:
            model = _find(self._models, call.model)
            if model is None:
                model = self._models[call.model] = _History()
            _observe(model, call, usage)

    def _input(self, call: Call, rate: int) -> int:
        text = -(-call.input_bytes * MICRO // rate)
        return max(1, text + call.input_tokens + call.images * self._settings.image_tokens)


def _observe(history: _History, call: Call, usage: Usage) -> None:
    history.calls += 1
    if usage.output:
        history.observe(usage.output // (call.items * call.choices))
    text = usage.input - call.input_tokens
    if call.input_bytes and text > 0 and not call.images:
        history.observe_text(call.input_bytes, text)


def _find(cache: LRUCache[_K, _History], key: _K) -> _History | None:
    try:
        return cache[key]
    except KeyError:
        return None
