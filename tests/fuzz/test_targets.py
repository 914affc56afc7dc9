"""Promises that hold for any input: a short run of what `make fuzz` runs for long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.targets import TARGETS, seeds

MUTATIONS = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 9), st.binary(max_size=6)))
"""What is done to a seed: at a place, so many bytes are replaced by others."""


@pytest.mark.parametrize("name", TARGETS)
def test_promises_hold_for_the_inputs_that_fuzzing_begins_from(name: str) -> None:
    for seed in seeds(name):
        TARGETS[name](seed)


@pytest.mark.parametrize("name", TARGETS)
@given(data=st.data())
def test_promises_hold_for_any_input(name: str, data: st.DataObject) -> None:
    found = bytearray(data.draw(st.sampled_from(seeds(name)) | st.binary(max_size=200)))
    for at, size, other in data.draw(MUTATIONS):
        found[at : at + size] = other
    TARGETS[name](bytes(found))
