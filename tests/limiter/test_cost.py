from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from querybudget.adapters.base import Call, Dialect, Usage
from querybudget.limiter import cost
from querybudget.policy.model import Budget, ModelPrice, TokenWeights
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

CALL = Call(Dialect.OPENAI, "chat", model="m")
PRICE = ModelPrice(
    input=2_500_000, output=10_000_000, cached_input=250_000, cache_write=3_000_000,
    reasoning=10_000_000,
)  # fmt: skip
counts = st.integers(0, 2_000_000)


def budget(unit: Unit, weights: TokenWeights | None = None) -> Budget:
    quota = Quota("b", unit, MICRO, SECOND, Algorithm.SLIDING, MICRO)
    return Budget(quota, weights=weights) if weights else Budget(quota)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    whole, output = draw(counts), draw(counts)
    cached = draw(st.integers(0, whole))
    return Usage(
        input=whole,
        cached_input=cached,
        cache_write=draw(st.integers(0, whole - cached)),
        output=output,
        reasoning=draw(st.integers(0, output)),
    )


def test_an_array_of_inputs_counts_as_many_requests_and_each_answer_asked_for_counts() -> None:
    call = Call(Dialect.OPENAI, "completions", items=3, choices=4)
    assert cost.cost_function(budget(Unit.REQUESTS), None)(call, Usage()) == 12 * MICRO


def test_a_token_counts_once_unless_the_policy_weighs_it() -> None:
    usage = Usage(input=100, cached_input=40, output=30, reasoning=10)
    assert cost.cost_function(budget(Unit.TOKENS), None)(CALL, usage) == 130 * MICRO
    weights = TokenWeights(cached_input=MICRO // 10, output=4 * MICRO, reasoning=2 * MICRO)
    weighed = cost.cost_function(budget(Unit.TOKENS, weights), None)(CALL, usage)
    assert weighed == (60 + 4 + 20 * 4 + 10 * 2) * MICRO


def test_alternatives_of_log_probabilities_count_as_the_policy_weighs_them() -> None:
    call = Call(Dialect.OPENAI, "chat", logprobs=20, prompt_logprobs=20)
    usage = Usage(input=10, output=10)
    assert cost.cost_function(budget(Unit.TOKENS), None)(call, usage) == 40 * MICRO


def test_a_million_tokens_cost_the_price_of_a_million_tokens() -> None:
    usage = Usage(input=1_000_000, output=1_000_000)
    assert cost.cost_function(budget(Unit.USD), PRICE)(CALL, usage) == 12_500_000


def test_money_is_rounded_up_so_that_nothing_is_free_by_rounding() -> None:
    cheap = replace(PRICE, input=1)
    assert cost.cost_function(budget(Unit.USD), cheap)(CALL, Usage(input=1)) == 1


def test_a_fee_for_each_request_is_charged_for_each_item() -> None:
    call = Call(Dialect.OPENAI, "embeddings", items=5)
    priced = replace(PRICE, request=1_000_000_000)
    assert cost.cost_function(budget(Unit.USD), priced)(call, Usage()) == 5_000


@given(usages(), usages(), st.sampled_from(list(Unit)))
def test_more_work_never_costs_less(usage: Usage, extra: Usage, unit: Unit) -> None:
    more = Usage(
        input=usage.input + extra.input,
        cached_input=usage.cached_input + extra.cached_input,
        cache_write=usage.cache_write + extra.cache_write,
        output=usage.output + extra.output,
        reasoning=usage.reasoning + extra.reasoning,
    )
    little = cost.cost_function(budget(unit), PRICE)(CALL, usage)
    assert little <= cost.cost_function(budget(unit), PRICE)(CALL, more)


@given(usages())
def test_input_and_output_tokens_add_up_to_tokens(usage: Usage) -> None:
    whole = cost.cost_function(budget(Unit.TOKENS), None)(CALL, usage)
    parts = (Unit.INPUT_TOKENS, Unit.OUTPUT_TOKENS)
    assert whole == sum(cost.cost_function(budget(unit), None)(CALL, usage) for unit in parts)


def test_the_first_price_that_matches_is_taken_and_no_match_is_no_price() -> None:
    models = {"gpt-4*": replace(PRICE, input=1), "gpt-*": replace(PRICE, input=2)}
    found = cost.price_of(models, "gpt-4o")
    assert found is not None
    assert found.input == 1
    assert cost.price_of(models, "claude") is None


@given(usages(), st.integers(1, 8))
def test_each_new_bucket_counts_one_whatever_was_used(usage: Usage, choices: int) -> None:
    call = Call(Dialect.OPENAI, "chat", model="m", choices=choices)
    assert cost.cost_function(budget(Unit.BUCKETS), None)(call, usage) == MICRO
