"""Estimates of what calls will use, learnt from what similar calls used. Pure: no clock.

Output is estimated as TCP estimates a round trip (RFC 6298): a smoothed mean plus a multiple of the
smoothed deviation, in integers, per caller and model; for a new caller, per model. An estimate
never exceeds the caller's own limit (``max_tokens``). Prompt tokens are estimated from the size of
the text, by a rate that follows what the model's tokenizer did with this caller's earlier text.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TypeVar

import msgspec

from querybudget.adapters.base import Call, Usage
from querybudget.policy.model import EstimateSettings
from querybudget.units import MICRO

SCALE = 16
"""Means and deviations are kept in 16ths of a token."""

DEVIATIONS = 2
"""Mean deviations above the mean that are held."""

TEACHES = 16
"""Calls of a caller that also count for the model's history."""

MAX_TOKENS = 10**9
"""The largest estimate: no quota is larger, and it fits the integers of any store."""

SHORTEST, LONGEST = MICRO // 2, 16 * MICRO
"""Bounds of the rate, in µ-bytes per token."""


_K = TypeVar("_K")


class Estimate(msgspec.Struct, frozen=True, gc=False):
    """What a call is expected to use.

    Attributes:
        usage: Tokens expected.
        certain: The part of ``usage`` that is certain, or that the caller asked for.
        bytes_per_token: UTF-8 bytes of this caller's text per token, in millionths.
    """

    usage: Usage
    certain: Usage
    bytes_per_token: int


class _History(msgspec.Struct):
    """One caller and model, or one model: 16ths of tokens per choice, µ-bytes per token."""

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


class _Histories(OrderedDict[_K, _History]):
    """A bounded table that drops the least recently used history."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def find(self, key: _K) -> _History | None:
        history = self.get(key)
        if history is not None:
            self.move_to_end(key)
        return history

    def add(self, key: _K) -> _History:
        if len(self) >= self._size:
            self.popitem(last=False)
        history = self[key] = _History()
        return history


class Estimator:
    """Estimates usage, and learns from it.

    Args:
        settings: What to assume before anything is known.
        callers: Pairs of caller and model that are kept; the least recently used is dropped.
    """

    def __init__(self, settings: EstimateSettings, *, callers: int = 50_000) -> None:
        self._settings = settings
        self._callers = _Histories[tuple[str, str]](callers)
        self._models = _Histories[str](max(1, callers // 50))

    def estimate(self, identity: str, call: Call) -> Estimate:
        """Return what a call of this identity is expected to use."""
        own = known = self._callers.find((identity, call.model))
        if known is None:
            known = self._models.find(call.model)
        rate = (known.bytes_per_token if known else 0) or self._settings.bytes_per_token
        prompt = self._input(call, rate)
        if not call.generates:
            usage = Usage(prompt)
            return Estimate(usage, usage, rate)
        answers = call.items * call.choices
        bound = call.max_output
        if bound is not None and (own is None or not own.mean or own.expected >= bound):
            usage = Usage(prompt, 0, 0, min(bound * answers, MAX_TOKENS))
            return Estimate(usage, usage, rate)
        history = known.expected if known else 0
        expected = min((history or self._settings.output_tokens) * answers, MAX_TOKENS)
        return Estimate(
            Usage(prompt, 0, 0, expected), Usage(prompt, 0, 0, min(answers, expected)), rate
        )

    def learn(self, identity: str, call: Call, usage: Usage) -> None:
        """Learn from what a call used. Estimated usage is ignored.

        Only the first calls of each caller count for the model, so that one busy caller does not
        decide the estimates of all.
        """
        if usage.estimated:
            return
        own = self._callers.find((identity, call.model))
        if own is None:
            own = self._callers.add((identity, call.model))
        _observe(own, call, usage)
        if own.calls <= TEACHES:
            model = self._models.find(call.model)
            if model is None:
                model = self._models.add(call.model)
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
