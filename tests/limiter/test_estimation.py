from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.base import Call, Dialect, Usage
from querybudget.limiter.estimation import Estimator
from querybudget.policy.model import Estimate
from querybudget.units import MICRO


def call(**values: object) -> Call:
    chat = Call(Dialect.OPENAI, "chat", model="m", input_bytes=400)
    for name, value in values.items():
        setattr(chat, name, value)
    return chat


def test_an_unbounded_newcomer_is_held_the_default_and_only_the_prompt_is_sure() -> None:
    foreseen = Estimator(Estimate(output_tokens=512)).foresee("a", call())
    assert foreseen.usage == Usage(input=100, output=512)
    assert foreseen.sure == Usage(input=100, output=1)


def test_an_unknown_callers_own_bound_is_held_whole() -> None:
    foreseen = Estimator(Estimate()).foresee("a", call(max_output=4096, choices=2))
    assert foreseen.usage.output == 8192
    assert foreseen.sure is foreseen.usage


def test_the_estimate_comes_down_to_what_a_caller_really_uses() -> None:
    estimator = Estimator(Estimate(output_tokens=512))
    for _ in range(20):
        estimator.learn("a", call(), Usage(input=100, output=60))
    assert 60 <= estimator.foresee("a", call()).usage.output <= 66
    assert 60 <= estimator.foresee("a", call(max_output=4096)).usage.output <= 66


def test_a_callers_bound_is_never_exceeded() -> None:
    estimator = Estimator(Estimate())
    estimator.learn("a", call(), Usage(input=100, output=5_000))
    foreseen = estimator.foresee("a", call(max_output=10))
    assert foreseen.usage.output == 10
    assert foreseen.sure is foreseen.usage


def test_an_unknown_caller_is_foreseen_as_others_of_the_model_are() -> None:
    estimator = Estimator(Estimate(output_tokens=512))
    for _ in range(20):
        estimator.learn("a", call(), Usage(input=100, output=40))
    assert estimator.foresee("b", call()).usage.output <= 44


def test_an_estimate_teaches_nothing() -> None:
    estimator = Estimator(Estimate(output_tokens=512))
    estimator.learn("a", call(), Usage(input=100, output=9, estimated=True))
    assert estimator.foresee("a", call()).usage.output == 512


def test_the_prompt_follows_what_the_tokenizer_was_seen_to_do() -> None:
    estimator = Estimator(Estimate())
    estimator.learn("a", call(), Usage(input=200, output=1))
    assert estimator.foresee("a", call()).usage.input == 200
    assert estimator.foresee("a", call()).bytes_per_token == 2 * MICRO


def test_token_ids_are_counted_exactly_and_pictures_by_the_policy() -> None:
    estimator = Estimator(Estimate(image_tokens=700))
    exact = call(input_bytes=0, input_tokens=33, images=2)
    assert estimator.foresee("a", exact).usage.input == 33 + 1400


def test_what_generates_nothing_is_held_no_output() -> None:
    foreseen = Estimator(Estimate()).foresee("a", call(generates=False))
    assert foreseen.usage.output == 0
    assert foreseen.sure is foreseen.usage


@given(
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)), max_size=30),
    st.integers(0, 10**7),
    st.none() | st.integers(1, 10**6),
)
def test_every_estimate_holds_at_least_one_token_and_never_passes_the_bound(
    seen: list[tuple[int, int]], size: int, bound: int | None
) -> None:
    estimator = Estimator(Estimate())
    for prompt, output in seen:
        estimator.learn("a", call(), Usage(input=prompt, output=output))
    foreseen = estimator.foresee("a", call(input_bytes=size, max_output=bound))
    assert foreseen.usage.input >= 1
    assert foreseen.sure.output <= foreseen.usage.output
    assert bound is None or foreseen.usage.output <= bound


def test_callers_remembered_are_bounded() -> None:
    estimator = Estimator(Estimate(output_tokens=512), callers=4)
    for number in range(100):
        estimator.learn(f"caller-{number}", call(model=f"m{number}"), Usage(input=1, output=7))
    assert estimator.foresee("caller-0", call(model="m0")).usage.output == 512
