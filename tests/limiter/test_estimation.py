from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.base import Call, Dialect, Usage
from querybudget.limiter.estimation import Estimator
from querybudget.policy.model import EstimateSettings
from querybudget.units import MICRO


def call(**values: object) -> Call:
    chat = Call(Dialect.OPENAI, "chat", model="m", input_bytes=400)
    for name, value in values.items():
        setattr(chat, name, value)
    return chat


def test_an_unbounded_call_of_a_new_caller_holds_the_default_and_only_the_prompt_is_certain() -> (
    None
):
    estimate = Estimator(EstimateSettings(output_tokens=512)).estimate("a", call())
    assert estimate.usage == Usage(input=100, output=512)
    assert estimate.certain == Usage(input=100, output=1)


def test_a_new_callers_own_bound_is_held_whole() -> None:
    estimate = Estimator(EstimateSettings()).estimate("a", call(max_output=4096, choices=2))
    assert estimate.usage.output == 8192
    assert estimate.certain is estimate.usage


def test_the_estimate_comes_down_to_what_a_caller_really_uses() -> None:
    estimator = Estimator(EstimateSettings(output_tokens=512))
    for _ in range(20):
        estimator.learn("a", call(), Usage(input=100, output=60))
    assert 60 <= estimator.estimate("a", call()).usage.output <= 66
    assert 60 <= estimator.estimate("a", call(max_output=4096)).usage.output <= 66


def test_a_callers_bound_is_never_exceeded() -> None:
    estimator = Estimator(EstimateSettings())
    estimator.learn("a", call(), Usage(input=100, output=5_000))
    estimate = estimator.estimate("a", call(max_output=10))
    assert estimate.usage.output == 10
    assert estimate.certain is estimate.usage


def test_a_new_caller_is_estimated_like_other_callers_of_the_model() -> None:
    estimator = Estimator(EstimateSettings(output_tokens=512))
    for _ in range(20):
        estimator.learn("a", call(), Usage(input=100, output=40))
    assert estimator.estimate("b", call()).usage.output <= 44


def test_estimated_usage_teaches_nothing() -> None:
    estimator = Estimator(EstimateSettings(output_tokens=512))
    estimator.learn("a", call(), Usage(input=100, output=9, estimated=True))
    assert estimator.estimate("a", call()).usage.output == 512


def test_the_estimate_of_a_prompt_follows_the_observed_rate_of_the_tokenizer() -> None:
    estimator = Estimator(EstimateSettings())
    estimator.learn("a", call(), Usage(input=200, output=1))
    assert estimator.estimate("a", call()).usage.input == 200
    assert estimator.estimate("a", call()).bytes_per_token == 2 * MICRO


def test_token_ids_are_counted_exactly_and_pictures_by_the_policy() -> None:
    estimator = Estimator(EstimateSettings(image_tokens=700))
    exact = call(input_bytes=0, input_tokens=33, images=2)
    assert estimator.estimate("a", exact).usage.input == 33 + 1400


def test_a_call_that_generates_nothing_holds_no_output() -> None:
    estimate = Estimator(EstimateSettings()).estimate("a", call(generates=False))
    assert estimate.usage.output == 0
    assert estimate.certain is estimate.usage


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=30),
    st.integers(0, 10**7),
    st.none() | st.integers(1, 10**6),
)
def test_every_estimate_holds_at_least_one_token_and_never_passes_the_bound(
    seen: list[tuple[int, int]], size: int, bound: int | None
) -> None:
    estimator = Estimator(EstimateSettings())
    for prompt, output in seen:
        estimator.learn("a", call(), Usage(input=prompt, output=output))
    estimate = estimator.estimate("a", call(input_bytes=size, max_output=bound))
    assert estimate.usage.input >= 1
    assert estimate.certain.output <= estimate.usage.output
    assert bound is None or estimate.usage.output <= bound


def test_the_number_of_callers_kept_is_bounded() -> None:
    estimator = Estimator(EstimateSettings(output_tokens=512), callers=4)
    for number in range(100):
        estimator.learn(f"caller-{number}", call(model=f"m{number}"), Usage(input=1, output=7))
    assert estimator.estimate("caller-0", call(model="m0")).usage.output == 512
