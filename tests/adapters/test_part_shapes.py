"""Turns and parts of one shape are read alike, and shapes take bounded memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.base import Channel, Opaque, Segment
from querybudget.adapters.content import measure
from querybudget.adapters.part_shapes import Shapes
from querybudget.adapters.request import LONGEST_KNOWN, MOST_KNOWN, Known
from querybudget.adapters.segments import texts_of
from querybudget.errors import BodyError

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


@pytest.mark.parametrize("labels", [{"role": "user"}, {"status": "completed"}, {}])
def test_an_item_that_the_server_keeps_is_new_whatever_labels_it_has(
    labels: Mapping[str, Any],
) -> None:
    part: Any = {"type": "item_reference", **labels, "id": "msg_1"}
    assert texts_of({"input": [part]}) == ((), (Opaque("reference", "msg_1"),))


@pytest.mark.parametrize("value", ["Why is the sky blue?", ["Why is it?"], {"text": "Why is it?"}])
def test_what_stands_in_an_object_of_labels_alone_is_read_if_it_is_none(value: Any) -> None:
    [segment], _ = texts_of({"input": [{"role": "user", "status": value}]})
    assert segment.text.startswith("Why")
    assert texts_of({"input": [{"role": "user", "status": "completed", "index": 3}]}) == ((), ())


def test_a_misspelt_name_is_refused_each_time_that_a_part_has_it() -> None:
    for _ in range(2):
        with pytest.raises(BodyError):
            measure([{"Text": "a"}])


def test_objects_of_long_names_are_not_kept_and_all_take_bounded_memory() -> None:
    held = Known(frozenset({"text"}), len)
    assert held["k" * LONGEST_KNOWN, "text"] == 2
    assert not held
    for number in range(3 * MOST_KNOWN):
        assert held[f"k{number}", "text"] == 2
    assert len(held) <= MOST_KNOWN


def test_shapes_that_strangers_make_up_take_bounded_memory() -> None:
    shapes = Shapes()
    for number in range(3 * MOST_KNOWN):
        assert shapes[f"k{number}", "text"].text is None
    assert len(shapes) <= MOST_KNOWN


def test_a_shape_of_long_names_is_not_kept() -> None:
    shapes = Shapes()
    assert shapes["k" * LONGEST_KNOWN, "text"].members[1][0] == "text"
    assert not shapes
