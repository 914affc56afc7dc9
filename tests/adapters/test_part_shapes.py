"""Turns and parts of one shape are read alike, and shapes take bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.base import Channel, Segment
from querybudget.adapters.part_shapes import Shapes
from querybudget.adapters.request import LONGEST_KNOWN, MOST_KNOWN
from querybudget.adapters.segments import texts_of

LABELS = ("type", "role", "id", "call_id", "status", "index")
TEXTS = ("text", "content", "output", "arguments", "name", "input")
VALUES = st.sampled_from(
    (
        *("x", "", "Why is the sky blue?", "user", "assistant", "function_call_output", "text"),
        *("item_reference", "fc_1", "data:image/png;base64,QUJD", None, True, 3),
        *({"text": "Within."}, ["One.", "Two."]),
    )
)


@given(st.dictionaries(st.sampled_from(LABELS), VALUES), st.sampled_from(TEXTS), VALUES)
def test_a_part_of_one_text_and_labels_says_what_it_says_beside_a_signature(
    labels: Mapping[str, Any], text: str, value: object
) -> None:
    part = {**labels, text: value}
    # With a signature, each member is read by itself.
    assert texts_of({"input": [part]}) == texts_of({"input": [{**part, "signature": "c2ln"}]})


@pytest.mark.parametrize("label", ["id", "call_id", "status", "type"])
def test_a_text_in_place_of_a_label_is_read(label: str) -> None:
    part: Any = {label: "Why is the sky blue?", "output": "It scatters."}
    segments, _ = texts_of({"input": [part]})
    together = "\n".join(segment.text for segment in segments)
    assert "Why is the sky blue?" in together
    assert "It scatters." in together


def test_the_output_of_a_tool_is_fed_whoever_is_said_to_say_it() -> None:
    part: Any = {"role": "user", "type": "function_call_output", "output": "It scatters."}
    assert texts_of({"input": [part]})[0] == (Segment(Channel.FED, "It scatters."),)


def test_shapes_that_strangers_make_up_take_bounded_memory() -> None:
    shapes = Shapes()
    for number in range(3 * MOST_KNOWN):
        assert shapes[f"k{number}", "text"].text is None
    assert len(shapes) <= MOST_KNOWN


def test_a_shape_of_long_names_is_not_kept() -> None:
    shapes = Shapes()
    assert shapes["k" * LONGEST_KNOWN, "text"].members[1][0] == "text"
    assert not shapes
