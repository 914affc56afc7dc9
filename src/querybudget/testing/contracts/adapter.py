"""`AdapterContract`: what every adapter promises, as tests to run on recordings.

A recording is one JSON file: a request, the `Call` that it must be read as, and answers with the
usage that must be metered. `load_recordings` describes the file::

    class TestMine(AdapterContract):
        recordings = load_recordings(Path(__file__).parent / "recordings")

        def adapter(self, path: str) -> Adapter:
            return MyAdapter()
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import msgspec

from querybudget.adapters.base import Adapter, Call, Meter, Target, Usage
from querybudget.adapters.degrade import OUTPUT
from querybudget.adapters.lax import Json
from querybudget.errors import BodyError

_NUMBERS: tuple[Json, ...] = (-1, 0, 3, 2.5, 10**30, 1e300)
_WRONG: tuple[Json, ...] = (None, True, *_NUMBERS, "three", "", [], {}, [[[]]], [{"a": 1}])


@dataclass(frozen=True, slots=True)
class Metered:
    """Everything that a meter says at one moment."""

    usage: Usage | None
    output_bytes: int
    complete: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A recorded answer, and what must be metered of it."""

    content_type: str
    body: bytes
    expected: Metered


@dataclass(frozen=True, slots=True)
class Recording:
    """A recorded request, how it must be read, and its answers."""

    name: str
    path: str
    request: bytes
    call: Call
    answers: tuple[Answer, ...]


class _AnswerFile(msgspec.Struct, forbid_unknown_fields=True):
    content_type: str
    usage: Usage | None
    output_bytes: int
    complete: bool
    body: object = None
    file: str = ""


class _RecordingFile(msgspec.Struct, forbid_unknown_fields=True):
    path: str
    request: object
    call: Call
    answers: tuple[_AnswerFile, ...] = ()


def load_recordings(folder: Path) -> tuple[Recording, ...]:
    """Return the recordings in a folder, one for each ``*.json`` file, sorted by name.

    A file holds ``path``, ``request`` (the body, as JSON), ``call`` (the members of `Call` that
    differ from their defaults) and ``answers``. Each answer holds ``content_type``, ``usage`` (the
    members of `Usage`, or null), ``output_bytes``, ``complete``, and either ``body`` (JSON) or
    ``file``, the name of a file beside it that holds the answer's bytes.
    """
    return tuple(_load(file) for file in sorted(folder.glob("*.json")))


def _load(file: Path) -> Recording:
    recorded = msgspec.json.decode(file.read_bytes(), type=_RecordingFile)
    return Recording(
        name=file.stem,
        path=recorded.path,
        request=json.dumps(recorded.request).encode(),
        call=recorded.call,
        answers=tuple(
            Answer(
                answer.content_type,
                (file.parent / answer.file).read_bytes()
                if answer.file
                else json.dumps(answer.body).encode(),
                Metered(answer.usage, answer.output_bytes, answer.complete),
            )
            for answer in recorded.answers
        ),
    )


def metered(meter: Meter, pieces: Sequence[bytes]) -> Metered:
    """Feed a meter and return what it says."""
    for piece in pieces:
        meter.feed(piece)
    return Metered(meter.usage(), meter.output_bytes, meter.complete)


class AdapterContract:
    """Tests of an adapter. Inherit them, set `recordings`, and define `adapter`.

    Attributes:
        recordings: The recordings to test with.
    """

    recordings: ClassVar[tuple[Recording, ...]] = ()

    def adapter(self, path: str) -> Adapter:
        """Return the adapter for a path."""
        raise NotImplementedError(f"define adapter(path): the adapter for {path}")

    def test_there_are_recordings_with_answers(self) -> None:
        """Without recordings the contract proves nothing."""
        assert any(recording.answers for recording in self.recordings)

    def test_every_request_is_read_as_recorded(self) -> None:
        for recording in self.recordings:
            call = self.adapter(recording.path).parse(Target(recording.path), recording.request)
            assert call == recording.call, recording.name

    def test_a_request_cut_short_is_a_body_error(self) -> None:
        for recording in self.recordings:
            adapter = self.adapter(recording.path)
            for end in range(len(recording.request)):
                try:
                    adapter.parse(Target(recording.path), recording.request[:end])
                except BodyError:
                    continue
                raise AssertionError(f"{recording.name} was read although cut after {end} bytes")

    def test_a_request_with_wrong_members_is_read_or_is_a_body_error(self) -> None:
        """Each member in turn, at any depth, is replaced by wrong values."""
        for recording in self.recordings:
            adapter = self.adapter(recording.path)
            for wrong in _spoilt(json.loads(recording.request)):
                try:
                    call = adapter.parse(Target(recording.path), json.dumps(wrong).encode())
                except BodyError:
                    continue
                _check_bounds(call)

    def test_a_degraded_request_asks_the_same_for_less(self) -> None:
        """The prompt stays; one choice, no log-probabilities, bounded output."""
        for recording in self.recordings:
            adapter = self.adapter(recording.path)
            degraded = adapter.degrade(recording.request)
            less, call = adapter.parse(Target(recording.path), degraded), recording.call
            assert (less.segments, less.template) == (call.segments, call.template), recording.name
            assert (less.model, less.stream) == (call.model, call.stream), recording.name
            assert (less.choices, less.logprobs) == (1, 0), recording.name
            assert less.prompt_logprobs == 0, recording.name
            assert (less.max_output or 0) <= (call.max_output or OUTPUT), recording.name
            assert (less.max_output or 0) <= OUTPUT, recording.name
            assert adapter.degrade(degraded) == degraded, recording.name

    def test_degrading_takes_any_body(self) -> None:
        """It never raises, and leaves a body that is not JSON as it is."""
        for recording in self.recordings:
            adapter = self.adapter(recording.path)
            for wrong in _spoilt(json.loads(recording.request)):
                body = json.dumps(wrong).encode()
                degraded = adapter.degrade(body)
                assert degraded is body or json.loads(degraded), recording.name
            cut = recording.request[:-1]
            assert adapter.degrade(cut) is cut, recording.name

    def test_an_answer_is_metered_as_recorded(self) -> None:
        for recording, number, answer in self._answers():
            pieces = [bytes((byte,)) for byte in answer.body]
            for cut in ([answer.body], pieces):
                assert self._metered(recording, answer, cut) == answer.expected, (
                    f"{recording.name}, answer {number}, in {len(cut)} pieces"
                )

    def test_where_an_answer_is_cut_changes_nothing(self) -> None:
        """At every byte boundary, and into pieces of many sizes."""
        chance = random.Random(20_260_223)  # noqa: S311 - repeatable cuts are not a secret
        for recording, number, answer in self._answers():
            body = answer.body
            cuts = [[at] for at in range(1, len(body))]
            cuts += [
                sorted(chance.sample(range(len(body) + 1), k=min(len(body), chance.randint(1, 40))))
                for _ in range(20)
            ]
            for cut in cuts:
                pieces = [body[a:b] for a, b in zip([0, *cut], [*cut, len(body)], strict=True)]
                assert self._metered(recording, answer, pieces) == answer.expected, (
                    f"{recording.name}, answer {number}, cut at {cut}"
                )

    def test_a_stream_cut_short_has_made_no_more_than_the_whole(self) -> None:
        """The bytes of text only grow, up to the recorded number."""
        for recording, number, answer in self._answers():
            if "event-stream" not in answer.content_type:
                continue
            meter = self.adapter(recording.path).meter(recording.call, answer.content_type)
            before = 0
            for byte in answer.body:
                meter.feed(bytes((byte,)))
                assert meter.output_bytes >= before, f"{recording.name}, answer {number}"
                before = meter.output_bytes
            assert before == answer.expected.output_bytes, f"{recording.name}, answer {number}"

    def test_a_meter_takes_any_bytes(self) -> None:
        """It does not raise on answers with bytes changed, dropped and repeated."""
        chance = random.Random(20_260_601)  # noqa: S311 - repeatable noise is not a secret
        for recording, number, answer in self._answers():
            for _ in range(40):
                noise = _noisy(answer.body, chance)
                seen = self._metered(recording, answer, [noise[:7], noise[7:]])
                assert 0 <= seen.output_bytes <= len(noise), f"{recording.name}, answer {number}"

    def _answers(self) -> Iterator[tuple[Recording, int, Answer]]:
        for recording in self.recordings:
            for number, answer in enumerate(recording.answers, start=1):
                yield recording, number, answer

    def _metered(self, recording: Recording, answer: Answer, pieces: Sequence[bytes]) -> Metered:
        meter = self.adapter(recording.path).meter(recording.call, answer.content_type)
        return metered(meter, pieces)


def _check_bounds(call: Call) -> None:
    numbers = msgspec.to_builtins(call)
    for name, value in numbers.items():
        if isinstance(value, int):
            assert 0 <= value < 2**31, (
                f"{name} is {value}, which is too large to multiply by a price"
            )
    assert call.items >= 1
    assert call.choices >= 1


def _spoilt(document: Json) -> Iterator[Json]:
    """Yield the document with one value at any depth replaced by each wrong one, or dropped."""
    yield from _WRONG
    if isinstance(document, dict):
        for name, value in document.items():
            for wrong in _spoilt(value):
                yield {**document, name: wrong}
            yield {key: kept for key, kept in document.items() if key != name}
    elif isinstance(document, list):
        for index, value in enumerate(document):
            for wrong in _spoilt(value):
                yield [*document[:index], wrong, *document[index + 1 :]]


def _noisy(body: bytes, chance: random.Random) -> bytes:
    noise = bytearray(body)
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(noise)) if noise else 0
        match chance.randrange(4):
            case 0:
                noise[at : at + 1] = bytes((chance.randrange(256),))
            case 1:
                del noise[at : at + chance.randint(1, 9)]
            case 2:
                noise[at:at] = noise[at : at + chance.randint(1, 90)]
            case _:
                noise[at:at] = chance.choice((b'"', b"\\", b"\r", b"\n\n", b"{", b"\xef\xbb\xbf"))
    return bytes(noise)
