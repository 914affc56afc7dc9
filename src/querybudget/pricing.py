"""What a call costs in each unit, before price: usage in, integers in µ-units out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from querybudget.adapters.call import Call, Usage
from querybudget.policy.types import Budget, ModelPrice, TokenWeights
from querybudget.quota import MICRO, Unit

__all__ = ["PICO_PER_MICRO", "amount", "price_of", "requests", "tokens", "usd"]

PICO_PER_MICRO = 1_000_000
"""Picodollars in a microdollar."""

PLAIN = TokenWeights()


def price_of(models: Sequence[ModelPrice], model: str) -> ModelPrice | None:
    """The first price whose pattern matches the model's name; None where none does."""
    return next((price for price in models if fnmatchcase(model, price.pattern)), None)


def amount(budget: Budget, call: Call, usage: Usage, price: ModelPrice | None) -> int:
    """What a call with this usage takes from a budget, in µ-units of the budget's unit.

    Args:
        budget: Its unit and weights decide what counts.
        call: Counts the requests in it and the alternatives asked for.
        usage: Tokens, expected or used.
        price: The model's price, for money; None is free.
    """
    match budget.quota.unit:
        case Unit.REQUESTS:
            return requests(call)
        case Unit.CONCURRENT:
            return MICRO
        case Unit.TOKENS:
            return tokens(call, usage, budget.weights)
        case Unit.INPUT_TOKENS:
            return _input(call, usage, budget.weights)
        case Unit.OUTPUT_TOKENS:
            return _output(call, usage, budget.weights)
        case Unit.USD:
            return usd(call, usage, price) if price else 0


def requests(call: Call) -> int:
    """µ-requests: each prompt of an array counts, and each answer asked for it."""
    return call.items * call.choices * MICRO


def tokens(call: Call, usage: Usage, weights: TokenWeights) -> int:
    """µ-tokens, each kind by its weight; alternatives given with log-probabilities on top."""
    if weights is PLAIN and not call.logprobs and not call.prompt_logprobs:
        return (usage.input + usage.output) * MICRO
    return _input(call, usage, weights) + _output(call, usage, weights)


def usd(call: Call, usage: Usage, price: ModelPrice) -> int:
    """Microdollars, rounded up."""
    plain_input = usage.input - usage.cached_input - usage.cache_write
    pico = (
        plain_input * price.input
        + usage.cached_input * price.cached_input
        + usage.cache_write * price.cache_write
        + (usage.output - usage.reasoning) * price.output
        + usage.reasoning * price.reasoning
        + call.items * call.choices * price.request
    )
    return -(-pico // PICO_PER_MICRO)


def _input(call: Call, usage: Usage, weights: TokenWeights) -> int:
    return (
        (usage.input - usage.cached_input - usage.cache_write) * weights.input
        + usage.cached_input * weights.cached_input
        + usage.cache_write * weights.cache_write
        + usage.input * call.prompt_logprobs * weights.logprobs
    )


def _output(call: Call, usage: Usage, weights: TokenWeights) -> int:
    return (
        (usage.output - usage.reasoning) * weights.output
        + usage.reasoning * weights.reasoning
        + usage.output * call.logprobs * weights.logprobs
    )
