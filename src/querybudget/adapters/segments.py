"""What the model reads in a request: `Call.segments` and `Call.opaque`, for every dialect.

One reader for all: names of members are folded, and `segment_names` says what each holds. Whatever
it does not name is read too, names of members included, since a server may read it. Each turn, tool
and prompt is a segment; texts of one channel that stand together in a turn are one, a line each.
"""

from __future__ import annotations

from collections.abc import Iterable

from querybudget.adapters.base import Call, Opaque, Segment, Target
from querybudget.adapters.lax import Json
from querybudget.adapters.members import fold
from querybudget.adapters.request import Request
from querybudget.adapters.segment_names import SETTINGS
from querybudget.adapters.segment_reader import Reader


def add_texts(call: Call, target: Target, request: Request, **decoded: Json) -> None:
    """Set what the model reads in a request, if it is wanted.

    Args:
        call: The request's call.
        target: Where it is sent.
        request: Its members.
        decoded: Those of them that are decoded already.

    Raises:
        BodyError: A member is no JSON that every reader takes.
    """
    if not target.texts:
        return
    reader = Reader()
    members: dict[str, Json] = {}
    for name in request.texts():
        if fold(name) in SETTINGS:
            continue
        if name in decoded:
            members[name] = decoded[name]
        elif numbers := request.numbers(name):
            reader.numbers(numbers)
        else:
            members[name] = request.value(name)
    reader.request(members)
    call.segments, call.opaque = reader.found()


def texts_of(
    document: Json, prompts: Iterable[Json] = ()
) -> tuple[tuple[Segment, ...], tuple[Opaque, ...]]:
    """Return what the model reads in a request.

    Args:
        document: The request, decoded.
        prompts: Values in it that are prompts, whatever their members are called.
    """
    reader = Reader()
    for prompt in prompts:
        reader.prompt(prompt)
    if isinstance(document, dict):
        reader.request(document)
    else:
        reader.prompt(document)
    segments, opaque = reader.found()
    # The document has the prompts again.
    return tuple(dict.fromkeys(segments)), tuple(dict.fromkeys(opaque))
