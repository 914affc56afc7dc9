"""The prompt of a request to a server's own API: what it holds.

Several readings of one request share it, and each member is looked at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from querybudget.adapters.lax import Json
from querybudget.adapters.members import (
    Content,
    Names,
    content_of,
    fold,
    folded,
    text_within_list,
)

_SYSTEM = ("system", "systeminstruction", "systemprompt", "preamble", "instructions")
_TALKS = ("messages", "contents")
_SYSTEM_ROLES = frozenset({"developer", "system"})


class Prompt:
    """The members of a request.

    Args:
        document: The request, decoded.

    Attributes:
        document: The request.
        members: Their values, by folded names.

    Raises:
        TooMuchError: It has too many different names, now or when it is asked for anything.
    """

    __slots__ = ("_contents", "_names", "document", "members")

    def __init__(self, document: dict[str, Json]) -> None:
        self._names = Names()
        self._names.check(document)
        self._contents: dict[str, Content] = {}
        self.document = document
        self.members = folded(document)

    def content(self, names: Iterable[str]) -> Content:
        """Return what members hold together."""
        whole = Content()
        for name in names:
            content = self._content(name)
            whole.size += content.size
            whole.images += content.images
            whole.tokens += content.tokens
        return whole

    def _content(self, name: str) -> Content:
        content = self._contents.get(name)
        if content is None:
            content = Content()
            for value in self.members.get(name, ()):
                one = content_of({name: value}, self._names)
                content.size += one.size
                content.images += one.images
                content.tokens += one.tokens
            self._contents[name] = content
        return content

    def system(self) -> str:
        """Return what the system says."""
        said = [value for name in _SYSTEM for value in self.members.get(name, ())]
        said += [
            message
            for message in self._talk()
            if message and isinstance(message, dict) and _role(message) in _SYSTEM_ROLES
        ]
        return text_within_list(said, self._names)

    def _talk(self) -> list[Json]:
        """Return the messages of a conversation, in order."""
        talks = [talk for name in _TALKS for talk in self.members.get(name, ())]
        if len(talks) == 1 and isinstance(talks[0], list):
            return talks[0]
        return [m for talk in talks for m in (talk if isinstance(talk, list) else (talk,))]


def _role(message: dict[str, Json]) -> str:
    """Return who says a message, in lower case; the user without a role."""
    role = message.get("role")
    if role is None:
        for name, value in message.items():
            if len(name) >= len("role") and fold(name) == "role":
                role = value
                break
    return role.lower() if isinstance(role, str) else "user"
