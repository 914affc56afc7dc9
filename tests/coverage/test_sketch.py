from __future__ import annotations

import itertools
from collections import Counter
from operator import add

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from querybudget.coverage.observation import Observation
from querybudget.coverage.sketch import SUMS, Sketch, blank_sums
from querybudget.coverage.style import STYLE_FEATURES
from tests.coverage.observations import made, observations

streams = st.lists(observations, max_size=40)


def sketch_of(stream: list[Observation]) -> Sketch:
    sketch = Sketch()
    for observation in stream:
        sketch.observe(observation)
    return sketch


def named(sums: list[int]) -> dict[str, int]:
    return dict(zip(SUMS, sums, strict=True))


def vector(observation: Observation) -> list[int]:
    return [byte - 256 if byte > 127 else byte for byte in observation.point]


def dot(one: list[int], other: list[int]) -> int:
    return sum(a * b for a, b in zip(one, other, strict=True))


@given(streams)
def test_the_sums_agree_with_a_full_recount(stream: list[Observation]) -> None:
    sums = named(sketch_of(stream).sums)
    coarse = Counter(observation.coarse for observation in stream)
    vectors = [vector(observation) for observation in stream]
    total = [sum(parts) for parts in zip(*vectors, strict=True)] or [0] * 32
    used: set[int] = set()
    for observation in stream:
        used |= bits(observation)
    assert sums["queries"] == len(stream)
    assert sums["squared"] == len(stream) ** 2
    assert sums["coarse_new"] == len(coarse)
    assert sums["coarse_once"] == sum(count == 1 for count in coarse.values())
    assert sums["coarse_squared"] == sum(count**2 for count in coarse.values())
    assert sums["coarse_same"] == sum(a.coarse == b.coarse for a, b in itertools.pairwise(stream))
    assert sums["cells_new"] == len({observation.cells[0] // 2 for observation in stream})
    assert sums["near"] == sum(dot(a, b) for a, b in itertools.pairwise(vectors))
    assert sums["spread"] == dot(total, total)
    assert sums["length"] == sum(dot(one, one) for one in vectors)
    assert sums["words_new"] == len(used)
    assert sums["words"] == sum(len(bits(observation)) for observation in stream)
    for place, name in enumerate(STYLE_FEATURES):
        assert sums[name] == sum(observation.style[place] for observation in stream)


def bits(observation: Observation) -> set[int]:
    whole = int.from_bytes(observation.words, "little")
    return {place for place in range(whole.bit_length()) if whole >> place & 1}


@given(streams)
def test_what_each_call_adds_comes_to_the_sums(stream: list[Observation]) -> None:
    sketch, total = Sketch(), blank_sums()
    for observation in stream:
        total = list(map(add, total, sketch.observe(observation)))
    assert total == sketch.sums


def test_a_prompt_sent_before_is_a_repeat() -> None:
    sketch = sketch_of([made(1, ask=7), made(1, ask=8), made(1, ask=7), made(1, ask=7)])
    assert named(sketch.sums)["repeats"] == 2


def test_a_bucket_visited_more_often_than_a_byte_counts_is_still_one_bucket() -> None:
    sums = named(sketch_of([made(1)] * 700).sums)
    assert sums["coarse_new"] == 1
    assert sums["coarse_once"] == 0


@given(streams)
def test_a_sketch_is_the_same_after_encoding_and_decoding(stream: list[Observation]) -> None:
    sketch = sketch_of(stream)
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(sketch), type=Sketch)
    assert again == sketch
    assert again.observe(made(3)) == sketch.observe(made(3))


def test_the_size_of_a_sketch_does_not_grow_with_its_calls() -> None:
    few = sketch_of([made(n * 16, ask=n, words=1 << n) for n in range(4)])
    many = sketch_of([made(n * 7 % 4096, ask=n, words=1 << n % 2048) for n in range(1_000)])
    assert len(msgspec.msgpack.encode(many)) < len(msgspec.msgpack.encode(few)) + 512
    assert len(msgspec.msgpack.encode(many)) < 1_600
