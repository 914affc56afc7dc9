"""Usage that a server reports in the headers of an answer, and perhaps nowhere else.

Text Generation Inference does so where no details are asked for, Text Embeddings Inference always,
and Amazon Bedrock for models whose own answers have no usage.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from querybudget.adapters.base import Meter, Usage
from querybudget.adapters.usage_shapes import usage_of
from querybudget.adapters.usage_sums import larger

USAGE_HEADERS = {
    b"x-prompt-tokens": "prompt_tokens",
    b"x-generated-tokens": "completion_tokens",
    b"x-compute-tokens": "prompt_tokens",
    b"x-amzn-bedrock-input-token-count": "inputTokenCount",
    b"x-amzn-bedrock-output-token-count": "outputTokenCount",
    b"x-amzn-bedrock-cache-read-input-token-count": "cacheReadInputTokenCount",
    b"x-amzn-bedrock-cache-write-input-token-count": "cacheWriteInputTokenCount",
}
"""Headers that report a figure, and the figure's name in a body."""


class HeaderMeter:
    """A meter that also knows what the headers of its answer report.

    Args:
        meter: Reads the answer's body.
        headers: Those of `USAGE_HEADERS`, names in lower case.
    """

    def __init__(self, meter: Meter, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self._meter = meter
        self._told = usage_of(
            {USAGE_HEADERS[name]: value.decode("latin-1") for name, value in headers}
        )

    def feed(self, chunk: bytes, /) -> None:
        self._meter.feed(chunk)

    def end(self) -> None:
        """Do as the meter of the body does."""
        self._meter.end()

    def usage(self) -> Usage | None:
        told, read = self._told, self._meter.usage()
        if told is None or read is None:
            return read or told
        return larger(replace(read, estimated=False), told)  # headers are the server's own

    @property
    def output_bytes(self) -> int:
        return self._meter.output_bytes

    @property
    def complete(self) -> bool:
        return self._meter.complete
