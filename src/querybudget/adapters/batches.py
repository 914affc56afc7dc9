"""Batches: many requests in one body, each of which counts as a call.

Anthropic's ``/v1/messages/batches`` takes an array of them. OpenAI's take a file of lines, uploaded
before to ``/v1/files``: the upload is what counts, since the later request names only the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Raw

from querybudget.adapters.base import Adapter, Call, Dialect, Meter, Target
from querybudget.adapters.combined import together
from querybudget.adapters.degrade import Members, rewrite
from querybudget.adapters.forms import parts_of
from querybudget.adapters.metering import Read, answer_meter
from querybudget.adapters.reading import read_call, unreadable_call
from querybudget.adapters.readings import TooMuchError, folded
from querybudget.adapters.request import BOM, read_request
from querybudget.errors import BodyError

MAX_REQUESTS = 100_000
"""Requests of one batch that are read: the limit of Anthropic's batches, twice OpenAI's."""

FEW_REQUESTS = 1_000
LEAST_REQUEST = 40
"""Bytes of a request, on average, in a batch of more than `FEW_REQUESTS`; those with a prompt and
a model have more."""

MAX_ODD = 1_000
"""Requests of one batch that its adapter cannot read at once: such a one is read several times."""

_ENTRIES = msgspec.json.Decoder(list[Members])
_LINE = msgspec.json.Decoder(Members)
_TEXT = msgspec.json.Decoder(str)


class Batch:
    """Reads an array of requests: ``{"requests": [{"params": {...}}, ...]}``.

    The answers are fetched later. Where `results` cannot read them, each request is charged what
    was expected of it.

    Args:
        one: Reads each request.
        array: The member that is the array.
        inner: The member of each element that is a request; empty if it is the element itself.
        results: Reads the batch's state, and each line of its results.
    """

    def __init__(
        self,
        one: Adapter,
        array: str = "requests",
        inner: str = "params",
        results: Read | None = None,
    ) -> None:
        self._one = one
        self._array = array
        self._inner = inner
        self._results = results
        self.dialect: Dialect = one.dialect

    def parse(self, target: Target, body: bytes, /) -> Call:
        request = read_request(body, "a batch of requests")
        bodies = [self._request(entry) for entry in request.objects(self._array)]
        _check_count(len(bodies), len(body))
        reader = _Reader()
        return batch_of([reader.read(self._one, target, one) for one in bodies], self.dialect)

    def meter(self, call: Call, content_type: str, /) -> Meter:
        if self._results is not None:
            return answer_meter(call, content_type, self._results, self._results)
        return self._one.meter(call, content_type)

    def degrade(self, body: bytes, /) -> bytes:
        return rewrite(body, self._less)

    def _request(self, entry: Members) -> bytes:
        if not self._inner:
            return msgspec.json.encode(entry)
        return bytes(entry.get(self._inner, b"null"))

    def _less(self, members: Members) -> None:
        try:
            entries = _ENTRIES.decode(members.get(self._array, Raw(b"")))
        except (ValueError, RecursionError):
            return
        for entry in entries:
            if self._inner in entry:
                entry[self._inner] = Raw(self._one.degrade(bytes(entry[self._inner])))
        members[self._array] = Raw(msgspec.json.encode(entries))


class Upload:
    """Reads a file of requests, a line each: ``POST /v1/files``.

    A line is ``{"url": "/v1/chat/completions", "body": {...}}``. A file without such lines asks no
    model: it is one request of no tokens.

    Args:
        adapters: Read the requests, by what their ``url`` ends in, the longest first.
        otherwise: Reads the requests of any other.
    """

    dialect: Dialect = Dialect.OPENAI

    def __init__(self, adapters: Mapping[str, Adapter], otherwise: Adapter) -> None:
        self._adapters = sorted(adapters.items(), key=_length, reverse=True)
        self._otherwise = otherwise

    def parse(self, target: Target, body: bytes, /) -> Call:
        files, is_batch = _files(target, body)
        lines = [line for file in files for line in _lines(file) if line]
        calls: list[Call] = []
        size, reader = 0, _Reader()
        for line in lines:
            call = self._read(reader, target, line, is_batch=is_batch)
            if call is not None:
                calls.append(call)
                size += len(line)
                _check_count(len(calls), size)
        if not calls:
            return Call(Dialect.OPENAI, "other", generates=False)
        return batch_of(calls, self.dialect)

    def meter(self, call: Call, content_type: str, /) -> Meter:
        return self._otherwise.meter(call, content_type)

    def degrade(self, body: bytes, /) -> bytes:
        return body

    def _read(self, reader: _Reader, target: Target, line: bytes, *, is_batch: bool) -> Call | None:
        """Return the call of a line; None of one that is no request, unless it is sent as one."""
        members = _members(line)
        if "body" not in members:
            return unreadable_call(self.dialect, line) if is_batch else None
        url = _url(members.get("url"))
        return reader.read(
            self._adapter(url), Target(url, texts=target.texts), bytes(members["body"])
        )

    def _adapter(self, url: str) -> Adapter:
        found = (adapter for ending, adapter in self._adapters if url.endswith(ending))
        return next(found, self._otherwise)


def batch_of(calls: Sequence[Call], dialect: Dialect) -> Call:
    """Return the call that a batch of calls is.

    Raises:
        BodyError: There are none.
    """
    if not calls:
        raise BodyError("Expected at least one request.")
    call = together(calls)
    call.dialect, call.stream, call.background = dialect, False, True
    return call


def _check_count(count: int, size: int) -> None:
    """Check that requests are not too many, or too small for their number.

    Raises:
        TooMuchError: They are.
    """
    if count > MAX_REQUESTS or (count > FEW_REQUESTS and size < LEAST_REQUEST * count):
        raise TooMuchError(f"Expected at most {MAX_REQUESTS} requests with a prompt in each.")


class _Reader:
    """Reads the requests of one batch."""

    def __init__(self) -> None:
        self._odd = 0

    def read(self, adapter: Adapter, target: Target, body: bytes) -> Call:
        """Return the call of one request.

        Raises:
            TooMuchError: More than `MAX_ODD` of them are odd.
        """
        try:
            return adapter.parse(target, body)
        except BodyError:
            self._odd += 1
            if self._odd > MAX_ODD:
                raise TooMuchError(f"Expected at most {MAX_ODD} odd requests in a batch.") from None
        return read_call(adapter, target, body)


def _length(entry: tuple[str, Adapter]) -> int:
    return len(entry[0])


def _files(target: Target, body: bytes) -> tuple[list[bytes], bool]:
    """Return the files of a form, or the body itself, and whether they are sent as a batch."""
    media = target.content_type
    if not media.strip().lower().startswith("multipart/"):
        return [body], False
    parts = [*parts_of(body, media)]
    is_batch = any(part.name == "purpose" and part.content.strip() == b"batch" for part in parts)
    return [part.content for part in parts if part.file], is_batch


def _lines(file: bytes) -> list[bytes]:
    return [line for line in file.removeprefix(BOM).splitlines() if not line.isspace()]


def _members(line: bytes) -> Members:
    """Return the members of a line, names in lower case; none if it is no JSON object."""
    try:
        members = _LINE.decode(line)
    except (ValueError, RecursionError):
        return {}
    return {folded(name): value for name, value in members.items()}


def _url(value: Raw | None) -> str:
    try:
        return _TEXT.decode(value).partition("?")[0].rstrip("/") if value is not None else ""
    except ValueError:
        return ""
