"""Prices of models and weights of tokens: a figure for each kind that servers report apart."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from querybudget.policy.fields import Factor, Fee, Price, doc, required
from querybudget.units import MICRO

__all__ = ["ModelPrice", "TokenWeights", "completed_price", "completed_weights"]


class TokenWeights(Struct, frozen=True):
    """What each kind of token counts in a token budget."""

    input: Annotated[Factor, doc("A prompt token; defaults to 1.")] = MICRO
    cached_input: Annotated[
        Factor, doc("A prompt token read from a cache; defaults to `input`.")
    ] = MICRO
    cache_write: Annotated[
        Factor, doc("A prompt token written to a cache; defaults to `input`.")
    ] = MICRO
    cache_write_1h: Annotated[
        Factor, doc("A prompt token written to a cache for an hour; defaults to `cache_write`.")
    ] = MICRO
    audio_input: Annotated[Factor, doc("A prompt token that is audio; defaults to `input`.")] = (
        MICRO
    )
    image_input: Annotated[
        Factor, doc("A prompt token that is part of a picture; defaults to `input`.")
    ] = MICRO
    output: Annotated[Factor, doc("A generated token; defaults to 1.")] = MICRO
    reasoning: Annotated[Factor, doc("A reasoning token; defaults to `output`.")] = MICRO
    audio_output: Annotated[
        Factor, doc("A generated token that is audio; defaults to `output`.")
    ] = MICRO
    image_output: Annotated[
        Factor, doc("A generated token that is part of a picture; defaults to `output`.")
    ] = MICRO
    logprobs: Annotated[
        Factor, doc("Each alternative given with a token, besides it; defaults to 0.05.")
    ] = MICRO // 20


class ModelPrice(Struct, frozen=True):
    """What a model costs, in USD per million tokens."""

    input: Annotated[Price, doc("A prompt token."), required()] = 0
    output: Annotated[Price, doc("A generated token."), required()] = 0
    cached_input: Annotated[
        Price, doc("A prompt token read from a cache; defaults to `input`.")
    ] = 0
    cache_write: Annotated[
        Price, doc("A prompt token written to a cache; defaults to 1.25 times `input`.")
    ] = 0
    cache_write_1h: Annotated[
        Price,
        doc("A prompt token written to a cache for an hour; defaults to twice `input`."),
    ] = 0
    audio_input: Annotated[Price, doc("A prompt token that is audio; defaults to `input`.")] = 0
    image_input: Annotated[
        Price, doc("A prompt token that is part of a picture; defaults to `input`.")
    ] = 0
    reasoning: Annotated[Price, doc("A reasoning token; defaults to `output`.")] = 0
    audio_output: Annotated[
        Price, doc("A generated token that is audio; defaults to `output`.")
    ] = 0
    image_output: Annotated[
        Price, doc("A generated token that is part of a picture; defaults to `output`.")
    ] = 0
    request: Annotated[Fee, doc("USD for each answer asked for, besides its tokens.")] = 0
    search: Annotated[Fee, doc("USD for each web search that the server reports.")] = 0


T = TypeVar("T", TokenWeights, ModelPrice)


def completed_price(price: ModelPrice, written: Collection[str]) -> ModelPrice:
    """Give the kinds of tokens that are not written their price by default.

    Cache writes cost what Anthropic documents: 1.25 times the input, and twice as much as the input
    where they are kept for an hour.
    """
    write = price.cache_write if "cache_write" in written else -(-price.input * 5 // 4)
    return _completed(price, written, write, max(2 * price.input, write))


def completed_weights(weights: TokenWeights, written: Collection[str]) -> TokenWeights:
    """Give the kinds of tokens that are not written their weight by default."""
    write = weights.cache_write if "cache_write" in written else weights.input
    return _completed(weights, written, write, write)


def _completed(amounts: T, written: Collection[str], write: int, hour: int) -> T:
    """Give the kinds of tokens that are not written the weight or price of `input` or `output`."""
    defaults = {
        "cached_input": amounts.input,
        "cache_write": write,
        "cache_write_1h": hour,
        "audio_input": amounts.input,
        "image_input": amounts.input,
        "reasoning": amounts.output,
        "audio_output": amounts.output,
        "image_output": amounts.output,
    }
    return replace(amounts, **{kind: defaults[kind] for kind in defaults if kind not in written})
