"""What a call is charged for in the end, from what was reported and what was sent."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from querybudget.adapters.base import Call, Dialect, Usage, settled_usage
from querybudget.units import MICRO

CHAT = Call(Dialect.OPENAI, "chat")


@dataclass
class Read:
    """A meter that was fed already."""

    reported: Usage | None
    output_bytes: int
    complete: bool

    def feed(self, chunk: bytes, /) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError

    def usage(self) -> Usage | None:
        return self.reported


@pytest.mark.parametrize(
    ("meter", "settled"),
    [
        pytest.param(Read(Usage(9, 2, 0, 5), 400, True), Usage(9, 2, 0, 5), id="whole"),
        pytest.param(Read(None, 400, True), Usage(30, output=100, estimated=True), id="unsaid"),
        pytest.param(Read(None, 401, False), Usage(30, output=101, estimated=True), id="rounds up"),
        pytest.param(
            Read(Usage(9, 2, 3, 1), 400, False), Usage(9, 2, 3, 100, estimated=True), id="cut"
        ),
        pytest.param(Read(Usage(9, output=120), 400, False), Usage(9, output=120), id="continuous"),
        pytest.param(
            Read(Usage(0, output=120), 400, False),
            Usage(30, output=120, estimated=True),
            id="no input yet",
        ),
        pytest.param(
            Read(Usage(9), 400, True), Usage(9, output=100, estimated=True), id="no output said"
        ),
        pytest.param(Read(Usage(9), 0, True), Usage(9), id="no output made"),
        pytest.param(
            Read(Usage(0, output=7), 400, True),
            Usage(30, output=7, estimated=True),
            id="no input said",
        ),
        pytest.param(Read(None, 0, False), Usage(30, estimated=True), id="nothing came"),
        pytest.param(
            Read(Usage(9, 9, output=3, estimated=True), 400, True),
            Usage(30, output=100, estimated=True),
            id="doubted",
        ),
        pytest.param(
            Read(Usage(90, 80, output=300, estimated=True), 400, True),
            Usage(90, output=300, estimated=True),
            id="doubted and dearer",
        ),
    ],
)
def test_a_call_is_charged_for_what_was_sent(meter: Read, settled: Usage) -> None:
    assert settled_usage(CHAT, meter, 30, 4 * MICRO) == settled


def test_a_call_that_generates_nothing_is_charged_no_output() -> None:
    call = Call(Dialect.OPENAI, "embeddings", generates=False)
    assert settled_usage(call, Read(None, 4000, False), 30, 4 * MICRO).output == 0


def test_an_answer_made_in_the_background_is_charged_what_was_reserved() -> None:
    call = Call(Dialect.OPENAI, "responses", background=True)
    settled = settled_usage(call, Read(None, 0, True), 30, 4 * MICRO, output_estimate=512)
    assert settled == Usage(30, output=512, estimated=True)


def test_a_call_answered_at_once_is_not_charged_what_was_held() -> None:
    settled = settled_usage(CHAT, Read(None, 40, True), 30, 4 * MICRO, output_estimate=512)
    assert settled.output == 10


@given(
    reported=st.integers(0, 10**6),
    sent=st.integers(0, 10**7),
    rate=st.integers(1, 20 * MICRO),
    complete=st.booleans(),
)
def test_what_was_reported_is_never_charged_less(
    reported: int, sent: int, rate: int, complete: bool
) -> None:
    meter = Read(Usage(5, output=reported), sent, complete)
    settled = settled_usage(CHAT, meter, 7, rate)
    assert settled.output >= reported
    assert settled.estimated == (settled.output != reported)
