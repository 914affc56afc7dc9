"""Every meter takes linear time over any answer, whole and in pieces."""

from __future__ import annotations

import pytest

from querybudget.adapters.base import Call, Dialect
from querybudget.adapters.readers import READERS
from tests.fuzz.answers import cut, fed
from tests.growth.instructions import instructions

SHORT, ALLOWANCE = 200, 2_000

DIALECTS = ("chat", "responses", "messages", "gemini_stream", "ollama_chat", "tgi", "rerank")
KINDS = ("application/json", "text/event-stream", "application/x-ndjson")

UNITS = (
    b"a",
    b"\n",
    b"{",
    b"[",
    b'"',
    b"\\",
    b"{}\n",
    b"data: {}\n\n",
    b"data: \n",
    b"\r",
    b'{"choices":[{"delta":{"content":"a"}}]}\n',
    b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n',
    b'{"usage":',
    b'"usage":{"prompt_tokens":1},',
    b"[[],",
)


@pytest.mark.parametrize("name", DIALECTS)
def test_four_times_the_answer_takes_at_most_four_times_the_instructions(name: str) -> None:
    call = Call(Dialect.OPENAI, "chat", stream=True)
    for kind in KINDS:
        for unit in UNITS:
            counts: list[int] = []
            for size in (SHORT, 4 * SHORT):
                answer = (unit * size)[:size]
                pieces = cut(answer, 40, 7)
                counts.append(instructions(fed, READERS[name].meter(call, kind), pieces))
            assert counts[1] <= 4.6 * counts[0] + ALLOWANCE, (kind, unit)
