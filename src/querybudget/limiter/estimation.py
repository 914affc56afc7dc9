"""Estimates of what calls will use, learnt from what similar calls used. Pure: no clock.

A prompt is estimated as an overhead (of the model's chat template) plus its size times a rate. Both
follow what the server reported for this caller's earlier prompts. Short prompts teach mostly the
overhead, long ones mostly the rate. One report moves an estimate by a bounded step, so that a
single odd one does little.

What other callers' prompts used only serves callers without a history of their own, and moves their
estimates by at most half of what the policy's own rate gives: whatever others send, an estimate
stays near the caller's own truth or near the policy.

Output is estimated as TCP estimates a round trip (RFC 6298): a smoothed mean plus a multiple of the
smoothed deviation, per caller and model; for a new caller, per model, within bounds that the policy
sets. An estimate never exceeds the caller's own limit (``max_tokens``).
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import TypeVar

import msgspec

from querybudget.adapters.base import UNREADABLE, Call, Usage
from querybudget.identity.identity import ANONYMOUS
from querybudget.policy.model import EstimateSettings
from querybudget.units import MICRO

SCALE = 16
"""Means and deviations of output are kept in 16ths of a token."""

DEVIATIONS = 2
"""Mean deviations above the mean that are held."""

MEMORY = 8
"""An old report weighs this share less with each new one: an eighth."""

SHARED_MEMORY = 16
"""Likewise in what callers of a model have in common."""

TEACHES = 16
"""The first calls of a caller whose output also counts for the model."""

TEACHES_RATE = 4
"""The first calls of a caller whose prompts also count for the model: they weigh less than a
quarter of all that the model has learnt."""

LONG = 200
"""A prompt of so many tokens teaches overhead and rate alike."""

PARTS = 1_024
"""Shares of a report are counted in these."""

LEAP = 128
"""Tokens by which one report may move an estimate, or by the estimate itself if that is more."""

STRETCH = 4
"""How many times more or less than the policy's rate a caller's own may be."""

NEAR = 3, 2
"""The largest factor, 3 / 2, by which others' prompts may move an estimate from the policy's."""

FEWEST_OUTPUT = 16
"""Others' answers may lower the policy's ``output_tokens`` to this part of it."""

MAX_TOKENS = 10**9
"""The largest estimate: no quota is larger, and it fits the integers of any store."""

MODELS = 16
"""Models whose history is kept for each caller; the least recently used is dropped."""

LONGEST_NAME = 200
"""Names of models longer than this are kept as hashes."""

_LONG = LONG * MICRO

_V = TypeVar("_V")


class Estimate(msgspec.Struct, frozen=True, gc=False):
    """What a call is expected to use.

    Attributes:
        usage: Tokens expected.
        certain: The part of ``usage`` that is certain by the policy's own rate, or that the caller
            asked for.
        bytes_per_token: UTF-8 bytes of an answer's text per token, in millionths, where only its
            text is known: the caller's rate, or the policy's if that counts fewer tokens.
    """

    usage: Usage
    certain: Usage
    bytes_per_token: int


class _Output(msgspec.Struct, gc=False):
    """What answers used: 16ths of tokens per choice."""

    mean: int = 0
    deviation: int = 0

    def observe(self, output: int) -> None:
        sample = output * SCALE
        if not self.mean:
            self.mean, self.deviation = sample, sample // 2
            return
        error = sample - self.mean
        self.deviation += (abs(error) - self.deviation) // 4
        self.mean = self.mean + error // 8 or 1

    @property
    def expected(self) -> int:
        return -(-(self.mean + DEVIATIONS * self.deviation) // SCALE)


class _Prompts(msgspec.Struct, gc=False):
    """What prompts used.

    Attributes:
        slope: µ-tokens per byte.
        offset: µ-tokens of overhead in each prompt.
        memory: Reports that weigh alike, in `PARTS`.
        shortest: Bytes of the shortest prompt reported; 0 before the first report. Nothing is known
            of the overhead of shorter ones: they are estimated in proportion.
        offset_reports: Reports that the overhead was learnt from, in `PARTS`, at most `memory`.
        slope_reports: Reports that the rate was learnt from, likewise.
    """

    slope: int
    memory: int
    offset: int = 0
    shortest: int = 0
    offset_reports: int = 0
    slope_reports: int = 0

    def tokens(self, size: int, items: int) -> int:
        """Return the tokens of `items` prompts of `size` bytes together."""
        shortest = self.shortest
        if size < shortest * items:
            in_proportion = (self.offset + self.slope * shortest) * size // shortest
            return -(-in_proportion // MICRO)
        return -(-(self.offset * items + self.slope * size) // MICRO)

    def observe(self, size: int, tokens: int, slope: int) -> None:
        """Take in one report.

        The error is divided between overhead and rate by their uncertainties, as a Kalman filter
        does: that of the overhead is `LONG` tokens, that of the rate the prompt's own length.

        Args:
            size: Bytes of the prompt, at least 1.
            tokens: What it used, in µ-tokens.
            slope: By the policy's rate.
        """
        before, expected = self.slope, self.offset + self.slope * size
        error = tokens - expected
        reports = self.slope_reports if expected > _LONG else self.offset_reports
        if -MICRO < error < MICRO and reports >= self.memory and size >= self.shortest:
            return  # it is right to the token, and well founded
        error = min(error, max(LEAP * MICRO, expected))
        plain = (slope * size // MICRO) ** 2
        long = PARTS * plain // (plain + LONG * LONG)
        short = PARTS - long
        self.offset_reports = min(self.offset_reports + short, self.memory)
        self.slope_reports = min(self.slope_reports + long, self.memory)
        turn = error * long // max(self.slope_reports, PARTS)
        self.slope = min(max(before + turn // size, slope // STRETCH), slope * STRETCH)
        offset = self.offset + error * short // max(self.offset_reports, PARTS)
        offset += turn - (self.slope - before) * size  # what the rate did not take
        self.offset = max(0, min(offset, tokens))  # no prompt is shorter than its overhead
        self.shortest = min(size, self.shortest or size)


class _History(msgspec.Struct, gc=False):
    """What calls of one caller and model used, or of all callers of a model.

    Attributes:
        prompts: What prompts used.
        output: What answers used.
        calls: Calls of a caller that also counted for the model.
        complete: Whether an estimate for this caller needs nothing but this history: a prompt and
            an answer of its own have been reported.
    """

    prompts: _Prompts
    output: _Output = msgspec.field(default_factory=_Output)
    calls: int = 0
    complete: bool = False


class _Recent(OrderedDict[str, _V]):
    """A bounded table that drops the least recently used value."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size

    def find(self, key: str) -> _V | None:
        value = self.get(key)
        if value is not None:
            self.move_to_end(key)
        return value

    def add(self, key: str, value: _V) -> _V:
        if len(self) >= self._size:
            self.popitem(last=False)
        self[key] = value
        return value


class Estimator:
    """Estimates usage, and learns from it.

    Args:
        settings: What to assume before anything is known, and what bounds that is learnt.
        callers: Callers that are kept, with at most `MODELS` models each; the least recently used
            is dropped.
    """

    def __init__(self, settings: EstimateSettings, *, callers: int = 50_000) -> None:
        self.assume(settings)
        self._callers = _Recent[dict[str, _History]](callers)
        self._models = _Recent[_History](max(1, callers // 50))

    def assume(self, settings: EstimateSettings) -> None:
        """Assume this from now on; what is learnt stays."""
        self._settings = settings
        self._slope = max(1, MICRO * MICRO // settings.bytes_per_token)

    def estimate(self, identity: str, call: Call) -> Estimate:
        """Return what a call of this identity is expected to use."""
        settings, model = self._settings, call.model
        if len(model) > LONGEST_NAME:
            model = _key(model)
        models = self._callers.find(identity)
        own = models.get(model) if models else None
        if own is not None and own.complete and call.generates:
            return self._by_history(own, call)
        text, plain = self._text(identity, own, model, call)
        rest = call.input_tokens + call.images * settings.image_tokens
        prompt, sure = text + rest or 1, (min(plain, text)) + rest or 1
        if not call.generates:
            return self._estimate(own, prompt, 0, sure, 0)
        answers, bound = call.items * call.choices, call.max_output
        if own is not None and own.output.mean and identity != ANONYMOUS:
            each = own.output.expected
        else:
            each = self._answer(own, model)
        if bound is not None and (own is None or not own.output.mean or each >= bound):
            most = min(bound * answers, MAX_TOKENS)
            return self._estimate(own, prompt, most, sure, most)
        expected = min(each * answers, MAX_TOKENS)
        return self._estimate(own, prompt, expected, sure, min(answers, expected))

    def _by_history(self, own: _History, call: Call) -> Estimate:
        """Return what a call uses whose caller has a complete history.

        This is the ordinary case of `estimate`, with fewer calls.
        """
        settings, size, items = self._settings, call.input_bytes, call.items
        rate, output, bound = settings.bytes_per_token, own.output, call.max_output
        prompt = sure = call.input_tokens + call.images * settings.image_tokens
        if size:
            text, plain = own.prompts.tokens(size, items), -(-size * MICRO // rate)
            prompt += text
            sure += text if text < plain else plain  # noqa: FURB136 - `min` takes long
        asked = answers = items * call.choices
        each = -(-(output.mean + DEVIATIONS * output.deviation) // SCALE)
        if bound is not None and each >= bound:
            each, asked = bound, bound * answers
        expected = min(each * answers, MAX_TOKENS)
        asked = asked if asked < expected else expected  # noqa: FURB136 - `min` takes long
        if own.prompts.slope < self._slope:
            rate = self._rate(own.prompts.slope)
        usage = Usage(prompt or 1, 0, 0, expected)
        if prompt == sure and expected == asked:
            return Estimate(usage, usage, rate)
        return Estimate(usage, Usage(sure or 1, 0, 0, asked), rate)

    def learn(self, identity: str, call: Call, usage: Usage) -> None:
        """Learn from what a call used. Estimated usage is ignored.

        Only the first calls of each caller count for the model, so that one busy caller does not
        decide the estimates of all.
        """
        if usage.estimated or call.operation == UNREADABLE:
            return
        model = call.model
        if len(model) > LONGEST_NAME:
            model = _key(model)
        models = self._callers.get(identity)
        own = models.get(model) if models is not None and len(models) == 1 else None
        if own is None:
            own = self._own(identity, model)
        if own.calls < TEACHES:
            self._teach(own, model, call, usage)
        if usage.output:
            own.output.observe(usage.output // (call.items * call.choices))
        self._observe_prompt(own, call, usage)
        if not own.complete and own.output.mean and own.prompts.shortest:
            own.complete = identity != ANONYMOUS

    def _teach(self, own: _History, model: str, call: Call, usage: Usage) -> None:
        """Take in one of the first calls of a caller as one of the model's."""
        own.calls += 1
        shared = self._models.find(model)
        if shared is None:
            shared = self._models.add(model, _History(self._shared_prompts()))
        if usage.output:
            shared.output.observe(usage.output // (call.items * call.choices))
        if own.calls <= TEACHES_RATE:
            self._observe_prompt(shared, call, usage)

    def _own(self, identity: str, model: str) -> _History:
        """Return the history of a caller and model, or begin one with the rate of others."""
        models = self._callers.find(identity)
        if models is None:
            models = self._callers.add(identity, {})
        own = models.pop(model, None)
        if own is None:
            if len(models) >= MODELS:
                del models[next(iter(models))]
            shared = self._models.find(model)
            slope = self._slope if shared is None else _near(shared.prompts.slope, self._slope)
            own = _History(_Prompts(slope, MEMORY * PARTS))
        models[model] = own  # the last one was used last
        return own

    def _shared_prompts(self) -> _Prompts:
        """Return the policy's rate, with the weight of as many reports as are remembered."""
        memory = SHARED_MEMORY * PARTS
        return _Prompts(self._slope, memory, offset_reports=memory, slope_reports=memory)

    def _text(self, identity: str, own: _History | None, model: str, call: Call) -> tuple[int, int]:
        """Return the tokens of a call's text: as learnt, and by the policy's own rate."""
        size = call.input_bytes
        if not size:
            return 0, 0
        plain = -(-size * MICRO // self._settings.bytes_per_token)
        if own is not None and own.prompts.shortest:
            text = own.prompts.tokens(size, call.items)
            # The next caller of the anonymous account is somebody else.
            return (text if identity != ANONYMOUS else _near(text, plain)), plain
        shared = self._models.find(model)
        if shared is None or not shared.prompts.shortest:
            return plain, plain
        return _near(shared.prompts.tokens(size, call.items), plain), plain

    def _answer(self, own: _History | None, model: str) -> int:
        """Return the output tokens to expect of one answer, by the caller's history or the model's.

        The result stays within bounds that the policy's own figure sets.
        """
        usual = self._settings.output_tokens
        known = own is not None and own.output.mean > 0
        history = own if known else self._models.find(model)
        if history is None or not history.output.mean:
            return usual
        more, less = NEAR
        return min(max(history.output.expected, usual // FEWEST_OUTPUT), usual * more // less)

    def _estimate(
        self, own: _History | None, prompt: int, output: int, sure: int, asked: int
    ) -> Estimate:
        rate = self._settings.bytes_per_token
        if own is not None and own.prompts.slope < self._slope:
            rate = self._rate(own.prompts.slope)
        usage = Usage(prompt, 0, 0, output)
        if prompt == sure and output == asked:
            return Estimate(usage, usage, rate)
        return Estimate(usage, Usage(sure, 0, 0, asked), rate)

    def _rate(self, slope: int) -> int:
        """Return the bytes of an answer's text per token, in millionths, by a rate of prompts."""
        usual, (more, less) = self._settings.bytes_per_token, NEAR
        return min(max(usual, MICRO * MICRO // slope), usual * more // less)

    def _observe_prompt(self, history: _History, call: Call, usage: Usage) -> None:
        """Take in what a prompt used, if its text is all that it depends on."""
        text, size = usage.input - call.input_tokens, call.input_bytes // call.items
        if size and text > 0 and not call.images and not call.stateful:
            history.prompts.observe(size, text * MICRO // call.items, self._slope)


def _near(figure: int, policy: int) -> int:
    """Return a figure learnt from other callers, kept within the factor `NEAR` of the policy's."""
    more, less = NEAR
    return min(max(figure, -(-policy * less // more)), policy * more // less)


def _key(model: str) -> str:
    """Return the key of a model's history: its name, or the hash of a long one."""
    if len(model) <= LONGEST_NAME:
        return model
    return blake2b(model.encode(errors="surrogatepass"), digest_size=16).hexdigest()
