from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from querybudget.adapters.base import Call, Dialect, Usage
from querybudget.adapters.usage_sums import sum_of
from querybudget.limiter import cost
from querybudget.policy.model import Budget
from querybudget.policy.prices import ModelPrice, TokenWeights
from querybudget.units import MICRO, SECOND, Algorithm, Quota, Unit

CALL = Call(Dialect.OPENAI, "chat", model="m")
PRICE = ModelPrice(
    input=2_500_000, output=10_000_000, cached_input=250_000, cache_write=3_000_000,
    reasoning=10_000_000, cache_write_1h=5_000_000, audio_input=40_000_000, image_input=5_000_000,
    audio_output=80_000_000, image_output=40_000_000, search=10_000_000_000,
)  # fmt: skip
counts = st.integers(0, 2_000_000)


def budget(unit: Unit, weights: TokenWeights | None = None) -> Budget:
    quota = Quota("b", unit, MICRO, SECOND, Algorithm.SLIDING, MICRO)
    return Budget(quota, weights=weights) if weights else Budget(quota)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    whole, output = draw(counts), draw(counts)
    cached = draw(st.integers(0, whole))
    written = draw(st.integers(0, whole - cached))
    audio, spoken = draw(st.integers(0, whole)), draw(st.integers(0, output))
    return Usage(
        input=whole,
        cached_input=cached,
        cache_write=written,
        output=output,
        reasoning=draw(st.integers(0, output)),
        cache_write_1h=draw(st.integers(0, written)),
        audio_input=audio,
        image_input=draw(st.integers(0, whole - audio)),
        audio_output=spoken,
        image_output=draw(st.integers(0, output - spoken)),
        searches=draw(st.integers(0, 9)),
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


def test_a_cache_write_of_an_hour_costs_its_own_price() -> None:
    written = Usage(input=1_000_000, cache_write=1_000_000, cache_write_1h=400_000)
    assert cost.cost_function(budget(Unit.USD), PRICE)(CALL, written) == 3_800_000


def test_audio_and_pictures_cost_their_own_prices_in_and_out() -> None:
    usage = Usage(
        input=1_000_000, audio_input=100_000, image_input=200_000,
        output=1_000_000, audio_output=100_000, image_output=300_000,
    )  # fmt: skip
    spent = cost.cost_function(budget(Unit.USD), PRICE)(CALL, usage)
    assert (
        spent
        == (700_000 * 25 + 100_000 * 400 + 200_000 * 50) // 10
        + (600_000 * 100 + 100_000 * 800 + 300_000 * 400) // 10
    )


def test_each_web_search_costs_its_fee() -> None:
    usage = Usage(searches=3)
    assert cost.cost_function(budget(Unit.USD), PRICE)(CALL, usage) == 30_000


@given(usages())
def test_kinds_without_a_weight_of_their_own_change_nothing(usage: Usage) -> None:
    weights = TokenWeights(logprobs=0)
    weighed = cost.cost_function(budget(Unit.TOKENS, weights), None)(CALL, usage)
    assert weighed == (usage.input + usage.output) * MICRO


def test_a_model_that_cannot_be_read_costs_the_highest_price_of_each_kind() -> None:
    models = {"a": ModelPrice(input=1, output=9), "b": ModelPrice(input=5, output=2, request=7)}
    assert cost.dearest(models.values()) == ModelPrice(input=5, output=9, request=7)
    assert cost.dearest([]) is None


def test_a_fee_for_each_request_is_charged_for_each_item() -> None:
    call = Call(Dialect.OPENAI, "embeddings", items=5)
    priced = replace(PRICE, request=1_000_000_000)
    assert cost.cost_function(budget(Unit.USD), priced)(call, Usage()) == 5_000


@given(usages(), usages(), st.sampled_from(list(Unit)))
def test_more_work_never_costs_less(usage: Usage, extra: Usage, unit: Unit) -> None:
    more = sum_of(usage, extra)
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
