"""What a call costs in each unit, before price: usage in, integers in µ-units out. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import partial

from querybudget.adapters.base import Call, Usage
from querybudget.policy.model import Budget, ModelPrice, TokenWeights
from querybudget.units import MICRO, Unit

__all__ = [
    "PICO_PER_MICRO",
    "CostFunction",
    "cost_function",
    "dearest",
    "input_tokens",
    "output_tokens",
    "price_of",
    "tokens",
    "usd",
]

PICO_PER_MICRO = 1_000_000
"""Picodollars in a microdollar."""

CostFunction = Callable[[Call, Usage], int]
"""A call and its usage to µ-units of one budget."""


def price_of(models: Mapping[str, ModelPrice], model: str) -> ModelPrice | None:
    """The first price whose pattern matches the model's name; None where none does."""
    return next((price for pattern, price in models.items() if fnmatchcase(model, pattern)), None)


def dearest(models: Mapping[str, ModelPrice]) -> ModelPrice | None:
    """The price whose output costs most, for a call of which the model cannot be read."""
    return max(models.values(), key=lambda price: price.output, default=None)


def cost_function(budget: Budget, price: ModelPrice | None) -> CostFunction:
    """What a call takes from a budget, as a function of the call and its usage.

    Args:
        budget: Its unit and weights decide what counts.
        price: The model's price, for money; None is free.

    Returns:
        A function of a call and the tokens expected or used, giving µ-units of the budget's unit:
        of buckets those for each new one, before the weight of what the call asks.
    """
    weights = budget.weights
    gauged: CostFunction
    match budget.quota.unit:
        case Unit.REQUESTS:
            gauged = _requests
        case Unit.CONCURRENT:
            gauged = _one
        case Unit.BUCKETS:  # how many are new, only the partition's account knows
            gauged = _one
        case Unit.TOKENS:
            gauged = _plain_tokens if weights == TokenWeights() else partial(tokens, weights)
        case Unit.INPUT_TOKENS:
            gauged = partial(input_tokens, weights)
        case Unit.OUTPUT_TOKENS:
            gauged = partial(output_tokens, weights)
        case Unit.USD:
            gauged = partial(usd, price) if price else _free
    return gauged


def tokens(weights: TokenWeights, call: Call, usage: Usage) -> int:
    """µ-tokens, each kind by its weight; alternatives given with log-probabilities on top."""
    return input_tokens(weights, call, usage) + output_tokens(weights, call, usage)


def input_tokens(weights: TokenWeights, call: Call, usage: Usage) -> int:
    """µ-tokens of the prompt, each kind by its weight."""
    return (
        (usage.input - usage.cached_input - usage.cache_write) * weights.input
        + usage.cached_input * weights.cached_input
        + usage.cache_write * weights.cache_write
        + usage.input * call.prompt_logprobs * weights.logprobs
    )


def output_tokens(weights: TokenWeights, call: Call, usage: Usage) -> int:
    """µ-tokens generated, each kind by its weight."""
    return (
        (usage.output - usage.reasoning) * weights.output
        + usage.reasoning * weights.reasoning
        + usage.output * call.logprobs * weights.logprobs
    )


def usd(price: ModelPrice, call: Call, usage: Usage) -> int:
    """Microdollars, rounded up."""
    pico = (
        (usage.input - usage.cached_input - usage.cache_write) * price.input
        + usage.cached_input * price.cached_input
        + usage.cache_write * price.cache_write
        + (usage.output - usage.reasoning) * price.output
        + usage.reasoning * price.reasoning
        + call.items * call.choices * price.request
    )
    return -(-pico // PICO_PER_MICRO)


def _requests(call: Call, _usage: Usage) -> int:
    """Each prompt of an array counts, and each answer asked for it."""
    return call.items * call.choices * MICRO


def _one(_call: Call, _usage: Usage) -> int:
    return MICRO


def _free(_call: Call, _usage: Usage) -> int:
    return 0


def _plain_tokens(call: Call, usage: Usage) -> int:
    if call.logprobs or call.prompt_logprobs:
        return tokens(TokenWeights(), call, usage)
    return (usage.input + usage.output) * MICRO
