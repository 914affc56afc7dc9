"""Bodies that cost more than they look are read within bounds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.hostile.bodies import BODIES
from querybudget.adapters import adapter_for, batches
from querybudget.adapters.base import UNREADABLE, Adapter, Call, Dialect, Target
from querybudget.adapters.batches import MAX_ODD
from querybudget.adapters.content import measure, measure_prompts
from querybudget.adapters.reading import MANY_TEXTS, MAX_VALUES, degrade_call, read_call
from querybudget.errors import BodyError
from tests.growth.instructions import instructions

SHORT = 2_000
"""Bytes; four times as many take at most about four times the instructions."""

ALLOWANCE = 2_000
"""Instructions that any body takes, and that the growth of a short one may be off by."""

PROMPTS = [name for name in BODIES if name.startswith("64 prompts")]
"""Of one size; what is in them is the analyzer's to read."""


@pytest.mark.parametrize("name", [name for name in BODIES if name not in PROMPTS])
def test_four_times_the_body_takes_at_most_four_times_the_instructions(name: str) -> None:
    counts: list[int] = []
    for size in (SHORT, 4 * SHORT):
        path, body = BODIES[name](size)
        adapter = adapter_for(path, "POST", ())
        assert adapter is not None
        read = instructions(read_call, adapter, Target(path), body)
        counts.append(read + instructions(degrade_call, adapter, Target(path), body))
    assert counts[1] <= 4.5 * counts[0] + ALLOWANCE


STEPS = {
    "members of messages": 60,
    "tool calls": 155,
    "tool outputs": 130,
    "parts within parts": 155,
    "tool schemas": 138,
    "documents": 228,
    "Ollama: empty messages": 70,
    "predict: instances": 228,
}
"""Instructions for each comma, bracket and brace, of bodies that have nothing else: a third more
than they take."""


@pytest.mark.parametrize("name", STEPS)
def test_a_small_part_takes_few_steps(name: str) -> None:
    path, body = BODIES[name](4 * SHORT)
    adapter = adapter_for(path, "POST", ())
    assert adapter is not None
    read_call(adapter, Target(path), body)  # the shapes of its parts are known then
    values = sum(map(body.count, (b",", b"[", b"{")))
    assert instructions(read_call, adapter, Target(path), body) < STEPS[name] * values


@pytest.mark.parametrize("unit", [b'""', b"{}", b"[]", b"1"])
def test_a_body_of_too_many_values_counts_by_its_size(unit: bytes) -> None:
    adapter = adapter_for("/v1/completions", "POST", ())
    assert adapter is not None
    body = b'{"prompt":[' + b",".join([unit] * (MAX_VALUES + 1)) + b"]}"
    call = read_call(adapter, Target("/v1/completions"), body)
    assert call.operation == UNREADABLE
    assert call.input_bytes == len(body)


@pytest.mark.parametrize("unit", [b'""', b'"a"', b'"a"     '])
def test_a_body_of_too_many_tiny_texts_counts_by_its_size(unit: bytes) -> None:
    adapter = adapter_for("/v1/completions", "POST", ())
    assert adapter is not None
    body = b'{"prompt":[' + b",".join([unit] * (MANY_TEXTS + 2)) + b"]}"
    call = read_call(adapter, Target("/v1/completions"), body)
    assert (call.operation, call.segments) == (UNREADABLE, ())


def test_many_prompts_of_some_length_are_all_read() -> None:
    adapter = adapter_for("/v1/completions", "POST", ())
    assert adapter is not None
    body = b'{"prompt":[' + b",".join([b'"a prompt of twenty bytes"'] * 80_000) + b"]}"
    assert len(read_call(adapter, Target("/v1/completions"), body).segments) == 80_000


def test_a_long_text_is_read_however_many_commas_a_prompt_usually_has() -> None:
    adapter = adapter_for("/v1/completions", "POST", ())
    assert adapter is not None
    text = b"bread, kettles, {and} the [rest]; " * 100_000
    body = b'{"prompt":"' + text + b'"}'
    call = read_call(adapter, Target("/v1/completions"), body)
    assert (call.operation, call.input_bytes) == ("completions", len(text))


TEXTS = st.text(max_size=9) | st.sampled_from(
    ["data:image/png;base64,QUJD", "data:audio/wav;base64,QUJD", "/9j/" + "A" * 80, "see data: x"]
)


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_texts_that_are_measured_at_once_hold_what_each_of_them_holds(texts: list[str]) -> None:
    assert measure([*texts]) == tuple(map(sum, zip(*map(measure, texts), strict=True)))
    together, alone = measure_prompts([*texts]), [measure_prompts([text]) for text in texts]
    assert together.size == sum(one.size for one in alone)
    assert together.images == sum(one.images for one in alone)


def test_the_odd_requests_of_a_batch_are_read_a_bounded_number_of_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[bytes] = []

    def note(_adapter: Adapter, _target: Target, body: bytes) -> Call:
        read.append(body)
        return Call(Dialect.ANTHROPIC, UNREADABLE)

    monkeypatch.setattr(batches, "read_call", note)
    adapter = adapter_for("/v1/messages/batches", "POST", ())
    assert adapter is not None
    odd = b'{"params":"a text where an object was expected"}'
    body = b'{"requests":[' + b",".join([odd] * 2 * MAX_ODD) + b"]}"
    with pytest.raises(BodyError):
        adapter.parse(Target("/v1/messages/batches"), body)
    assert len(read) == MAX_ODD
