from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.base import UNREADABLE, Call, Dialect, Usage
from querybudget.identity import ANONYMOUS
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


def test_a_caller_of_many_models_pushes_out_only_its_own() -> None:
    estimator = Estimator(EstimateSettings(output_tokens=512), callers=50)
    estimator.learn("a", call(), Usage(input=100, output=60))
    for number in range(1_000):
        estimator.learn("b", call(model=f"m{number}"), Usage(input=1, output=7))
    assert estimator.estimate("a", call()).usage.output == 120
    assert estimator.estimate("b", call(model="m0")).usage.output == 512


def test_a_name_of_any_length_costs_the_same_memory() -> None:
    """Each table keeps at most `callers` names, and none of more than 200 characters."""
    tracemalloc.start()
    try:
        estimator = Estimator(EstimateSettings(), callers=64)
        for number in range(200):
            estimator.learn("a", call(model=f"{number}" * 300_000), Usage(input=1, output=7))
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100_000


def test_a_long_name_is_learnt_like_any_other() -> None:
    estimator = Estimator(EstimateSettings())
    names = ["m" * 1_000, "m" * 1_001, "\ud800" * 300]
    for output, name in enumerate(names, 1):
        estimator.learn("a", call(model=name), Usage(input=100, output=output * 100))
    learnt = [estimator.estimate("a", call(model=name)).usage.output for name in names]
    assert learnt == [200, 400, 600]


# -- overhead and rate

TEMPLATE, DOCUMENT = 50, 27_000


def used(size: int, rate: float, overhead: int = TEMPLATE) -> Usage:
    """What a server reports for a prompt of `size` bytes."""
    return Usage(input=overhead + round(size / rate), output=9)


def test_a_short_greeting_does_not_make_a_long_document_dear() -> None:
    """The template's overhead of one "hi" says nothing about the rate, for nobody."""
    estimator = Estimator(EstimateSettings())
    estimator.learn("a", call(input_bytes=2), used(2, 4))
    for caller in ("a", "b"):
        estimate = estimator.estimate(caller, call(input_bytes=DOCUMENT))
        assert DOCUMENT // 4 <= estimate.usage.input <= DOCUMENT // 4 + TEMPLATE
        assert estimate.certain.input <= DOCUMENT // 4
        assert estimate.bytes_per_token == 4 * MICRO


def test_a_long_document_does_not_hide_the_overhead_of_short_prompts() -> None:
    estimator = Estimator(EstimateSettings())
    for _ in range(3):
        estimator.learn("a", call(input_bytes=DOCUMENT), used(DOCUMENT, 4))
        estimator.learn("a", call(input_bytes=2), used(2, 4))
    assert abs(estimator.estimate("a", call(input_bytes=2)).usage.input - TEMPLATE) <= 5


MIXES = {
    "greetings": ([2, 5, 11], 4.0, 50),
    "documents": ([27_000, 19_000, 31_000], 4.4, 50),
    "greetings and documents": ([2, 27_000, 40, 9_000], 4.2, 50),
    "Chinese": ([60, 900, 3_000, 12_000], 2.4, 20),
    "Thai in an old vocabulary": ([300, 3_000, 9_000], 1.3, 10),
    "code": ([800, 6_000, 45_000], 3.1, 80),
    "a server with a long prompt of its own": ([20, 200, 2_000], 4.0, 900),
    "white space": ([4_000, 8_000, 30_000], 12.0, 30),
}


@pytest.mark.parametrize("mix", MIXES)
def test_the_estimate_converges_to_what_a_caller_really_uses(mix: str) -> None:
    sizes, rate, overhead = MIXES[mix]
    estimator = Estimator(EstimateSettings())
    for number in range(60):
        size = sizes[number % len(sizes)]
        estimator.learn("a", call(input_bytes=size), used(size, rate, overhead))
    for size in sizes:
        true = used(size, rate, overhead).input
        estimate = estimator.estimate("a", call(input_bytes=size)).usage.input
        assert abs(estimate - true) <= max(6, true // 8), (size, true, estimate)


@pytest.mark.parametrize("mix", MIXES)
def test_a_new_caller_profits_from_others_of_the_model(mix: str) -> None:
    sizes, rate, overhead = MIXES[mix]
    estimator = Estimator(EstimateSettings())
    for number in range(200):
        size = sizes[number % len(sizes)]
        estimator.learn(f"caller-{number}", call(input_bytes=size), used(size, rate, overhead))
    for size in sizes:
        true, plain = used(size, rate, overhead).input, -(-size // 4)
        estimate = estimator.estimate("new", call(input_bytes=size)).usage.input
        assert abs(estimate - true) <= abs(plain - true) + true // 20, (size, true, estimate)


def test_one_odd_report_moves_an_estimate_little() -> None:
    estimator = Estimator(EstimateSettings())
    for _ in range(20):
        estimator.learn("a", call(), used(400, 4))
    estimator.learn("a", call(), Usage(input=300_000, output=9))
    assert estimator.estimate("a", call()).usage.input <= 150 * 1.2


ODD: dict[str, tuple[dict[str, object], Usage]] = {
    "a later turn of a response": ({"stateful": True}, Usage(input=90_000, output=9)),
    "a picture": ({"images": 1}, Usage(input=9_000, output=9)),
    "token ids alone": ({"input_bytes": 0, "input_tokens": 9_000}, Usage(input=9_000, output=9)),
    "token ids and text": ({"input_tokens": 9_000}, Usage(input=9_150, output=9)),
    "a stream cut short": ({}, Usage(input=9_000, output=9, estimated=True)),
    "a body that cannot be read": ({"operation": UNREADABLE}, Usage(input=9_000, output=9)),
    "no usage of the prompt": ({}, Usage(output=9)),
}


@pytest.mark.parametrize("what", ODD)
def test_what_does_not_depend_on_the_text_teaches_no_rate(what: str) -> None:
    members, usage = ODD[what]
    estimator = Estimator(EstimateSettings())
    for _ in range(10):
        estimator.learn("a", call(), used(400, 4))
        estimator.learn("a", call(**members), usage)
    assert abs(estimator.estimate("a", call()).usage.input - 150) <= 2
    assert abs(estimator.estimate("new", call()).usage.input - 150) <= 50


def test_each_prompt_of_an_array_has_its_own_overhead() -> None:
    estimator = Estimator(EstimateSettings())
    for _ in range(8):
        estimator.learn("a", call(input_bytes=100, items=10), Usage(input=10 * 8 + 25))
        estimator.learn("a", call(input_bytes=DOCUMENT), used(DOCUMENT, 4, 8))
    estimate = estimator.estimate("a", call(input_bytes=1_000, items=100))
    assert abs(estimate.usage.input - (100 * 8 + 250)) <= 100


# -- what is certain, and what an answer's text is settled at

reports = st.tuples(
    st.sampled_from(["other", "another", "honest", ANONYMOUS]) | st.text(max_size=3),
    st.integers(0, 20_000_000) | st.integers(0, 50),
    st.integers(1, 3),
    st.integers(0, 10**12) | st.integers(0, 100),
    st.integers(0, 10**9),
)


@given(st.lists(reports, max_size=40), st.integers(0, 10**7), st.integers(1, 5))
def test_no_learnt_rate_makes_a_call_that_fits_one_that_never_fits(
    traffic: list[tuple[str, int, int, int, int]], size: int, items: int
) -> None:
    """What is certain is at most what the policy's own rate gives."""
    estimator = Estimator(EstimateSettings())
    for caller, sent, prompts, prompt, output in traffic:
        learnt = call(input_bytes=sent, items=prompts)
        estimator.learn(caller, learnt, Usage(input=prompt, output=output))
    for caller in ("honest", "new", ANONYMOUS):
        estimate = estimator.estimate(caller, call(input_bytes=size, items=items))
        assert 1 <= estimate.certain.input <= max(1, -(-size // 4))
        assert estimate.certain.input <= estimate.usage.input
        assert estimate.certain.output == items


@given(st.lists(reports, max_size=40))
def test_text_whose_tokens_are_not_reported_is_never_settled_above_the_policys_rate(
    traffic: list[tuple[str, int, int, int, int]],
) -> None:
    estimator = Estimator(EstimateSettings())
    for caller, sent, prompts, prompt, output in traffic:
        learnt = call(input_bytes=sent, items=prompts)
        estimator.learn(caller, learnt, Usage(input=prompt, output=output))
    for caller in ("honest", "new"):
        assert 4 * MICRO <= estimator.estimate(caller, call()).bytes_per_token <= 6 * MICRO


# -- other callers

others = reports.filter(lambda report: report[0] != "honest")
sizes = st.integers(1, 200_000) | st.integers(1, 40)


@given(st.lists(others, max_size=60), sizes, st.sampled_from(["honest", ANONYMOUS]))
def test_whatever_others_send_a_new_caller_is_estimated_near_the_policys_rate(
    traffic: list[tuple[str, int, int, int, int]], size: int, caller: str
) -> None:
    estimator = Estimator(EstimateSettings())
    for other, sent, prompts, prompt, output in traffic:
        learnt = call(input_bytes=sent, items=prompts)
        estimator.learn(other, learnt, Usage(input=prompt, output=output))
    plain, estimate = -(-size // 4), estimator.estimate(caller, call(input_bytes=size)).usage
    assert plain * 2 <= estimate.input * 3
    assert estimate.input * 2 <= plain * 3
    assert 512 // 16 <= estimate.output <= 512 * 3 // 2


@given(
    st.lists(others, max_size=40),
    st.lists(sizes, min_size=1, max_size=12),
    st.lists(others, max_size=40),
    st.integers(15, 100),
    st.integers(0, 200),
)
def test_whatever_others_send_a_caller_is_estimated_near_its_own_truth_or_the_policys_rate(
    before: list[tuple[str, int, int, int, int]],
    sent: list[int],
    after: list[tuple[str, int, int, int, int]],
    rate: int,
    overhead: int,
) -> None:
    """Its estimate is within a factor of 1.5 of one of the two, or between them."""
    estimator = Estimator(EstimateSettings())
    alone = Estimator(EstimateSettings())
    for traffic in (before, [("honest", size, 1, 0, 9) for size in sent], after):
        for caller, size, prompts, prompt, output in traffic:
            usage = Usage(input=prompt, output=output)
            if caller == "honest":
                usage = used(size, rate / 10, overhead)
                alone.learn(caller, call(input_bytes=size), usage)
            estimator.learn(caller, call(input_bytes=size, items=prompts), usage)
    for size in sent:
        true, plain = used(size, rate / 10, overhead).input, -(-size // 4)
        lone = alone.estimate("honest", call(input_bytes=size)).usage.input
        estimate = estimator.estimate("honest", call(input_bytes=size)).usage.input
        assert min(true, plain, lone) * 2 <= estimate * 3 + 3
        assert estimate * 2 <= max(true, plain, lone) * 3 + 3
