"""What a call costs in each unit, before price: usage in, integers in µ-units out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase
from functools import partial

from msgspec.structs import astuple

from querybudget.adapters.base import Call, Usage
from querybudget.limiter.conditions import is_model
from querybudget.policy.model import Budget
from querybudget.policy.prices import ModelPrice, TokenWeights
from querybudget.units import MICRO, Unit

PICO_PER_MICRO = 1_000_000
"""Picodollars in a microdollar."""

CostFunction = Callable[[Call, Usage], int]
"""Maps a call and its usage to µ-units of one budget."""


def price_of(models: Mapping[str, ModelPrice], model: str) -> ModelPrice | None:
    """Return the first price whose pattern matches the model's name; None if none does.

    Where the name in another spelling has another price, the dearer counts.
    """
    exact = (price for pattern, price in models.items() if fnmatchcase(model, pattern))
    alike = (price for pattern, price in models.items() if is_model(pattern, model))
    found = [price for price in (next(exact, None), next(alike, None)) if price is not None]
    return dearest(found)


def dearest(prices: Collection[ModelPrice]) -> ModelPrice | None:
    """Return the highest price of each kind, for a call that any of several models may answer."""
    if len(prices) < 2:  # noqa: PLR2004 - there is nothing to compare
        return next(iter(prices), None)
    figures = [astuple(price) for price in prices]
    return ModelPrice(*(max(kind) for kind in zip(*figures, strict=True)))


def cost_function(budget: Budget, price: ModelPrice | None) -> CostFunction:
    """Return the function that says what a call takes from a budget.

    Args:
        budget: Its unit and weights decide what counts.
        price: The model's price, for money; None is free.

    Returns:
        A function of a call and the tokens expected or used. It returns µ-units of the budget's
        unit; for buckets, those of each new one, before the weight of the call's capabilities.
    """
    weights = budget.weights
    function: CostFunction
    match budget.quota.unit:
        case Unit.REQUESTS:
            function = _requests
        case Unit.CONCURRENT:
            function = _one
        case Unit.BUCKETS:  # only the account knows how many are new
            function = _one
        case Unit.TOKENS:
            function = _plain_tokens if weights == TokenWeights() else partial(tokens, weights)
        case Unit.INPUT_TOKENS:
            function = partial(input_tokens, weights)
        case Unit.OUTPUT_TOKENS:
            function = partial(output_tokens, weights)
        case Unit.USD:
            function = _money(price) if price else _free
    return function


def tokens(weights: TokenWeights, call: Call, usage: Usage) -> int:
    """Return µ-tokens, each kind by its weight, and alternatives of log-probabilities added."""
    return input_tokens(weights, call, usage) + output_tokens(weights, call, usage)


def input_tokens(weights: TokenWeights, call: Call, usage: Usage) -> int:
    """Return µ-tokens of the prompt, each kind by its weight."""
    return _input(weights, usage) + usage.input * call.prompt_logprobs * weights.logprobs


def output_tokens(weights: TokenWeights, call: Call, usage: Usage) -> int:
    """Return µ-tokens generated, each kind by its weight."""
    return _output(weights, usage) + usage.output * call.logprobs * weights.logprobs


def _money(price: ModelPrice) -> CostFunction:
    """Return `usd` at a price; with less work if, of all kinds, only cache writes cost more."""
    inputs = {price.input, price.cached_input, price.audio_input, price.image_input}
    outputs = {price.output, price.reasoning, price.audio_output, price.image_output}
    if len(inputs) > 1 or len(outputs) > 1 or price.request or price.search:
        return partial(usd, price)
    return partial(_simple_usd, price)


def _simple_usd(price: ModelPrice, call: Call, usage: Usage) -> int:
    if usage.cache_write or usage.cache_write_1h:
        return usd(price, call, usage)
    return -(-(usage.input * price.input + usage.output * price.output) // PICO_PER_MICRO)


def usd(price: ModelPrice, call: Call, usage: Usage) -> int:
    """Return what a call costs at `price`, in microdollars, rounded up."""
    if (
        usage.cached_input
        or usage.cache_write
        or usage.cache_write_1h
        or usage.audio_input
        or usage.image_input
        or usage.reasoning
        or usage.audio_output
        or usage.image_output
    ):
        pico = _input(price, usage) + _output(price, usage)
    else:  # as most usage is
        pico = usage.input * price.input + usage.output * price.output
    if price.request:
        pico += call.items * call.choices * price.request
    if price.search:
        pico += usage.searches * price.search
    return -(-pico // PICO_PER_MICRO)


def _input(rates: TokenWeights | ModelPrice, usage: Usage) -> int:
    """Weigh the prompt. A token may be of two kinds, cached audio for example: both apply."""
    plain, hour = rates.input, usage.cache_write_1h
    return max(
        0,
        usage.input * plain
        + usage.cached_input * (rates.cached_input - plain)
        + (usage.cache_write - hour) * (rates.cache_write - plain)
        + hour * (rates.cache_write_1h - plain)
        + usage.audio_input * (rates.audio_input - plain)
        + usage.image_input * (rates.image_input - plain),
    )


def _output(rates: TokenWeights | ModelPrice, usage: Usage) -> int:
    """Weigh what was generated, likewise."""
    plain = rates.output
    return max(
        0,
        usage.output * plain
        + usage.reasoning * (rates.reasoning - plain)
        + usage.audio_output * (rates.audio_output - plain)
        + usage.image_output * (rates.image_output - plain),
    )


def _requests(call: Call, _usage: Usage) -> int:
    """Count each prompt of an array, times the answers requested for each."""
    return call.items * call.choices * MICRO


def _one(_call: Call, _usage: Usage) -> int:
    return MICRO


def _free(_call: Call, _usage: Usage) -> int:
    return 0


def _plain_tokens(call: Call, usage: Usage) -> int:
    if call.logprobs or call.prompt_logprobs:
        return tokens(TokenWeights(), call, usage)
    return (usage.input + usage.output) * MICRO
