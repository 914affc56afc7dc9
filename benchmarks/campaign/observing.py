"""The real analyzer, which looks at every text once in a process.

What a call shows is put together from what its prompt and its system prompt show, each looked at by
itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from pathlib import Path
from tempfile import NamedTemporaryFile

import msgspec

import querybudget
from benchmarks.sweep.analysis import FittedAnalyzer
from benchmarks.sweep.bodies import CHAT, asked
from benchmarks.sweep.scoring import Fit, current
from querybudget.adapters import adapter_for
from querybudget.adapters.base import Call, Target
from querybudget.adapters.reading import read_call
from querybudget.coverage import Observation

__all__ = ["OnceAnalyzer", "call_of"]

_KEPT = msgspec.msgpack.Decoder(tuple[str, dict[bytes, Observation]])
_ADAPTER = adapter_for(CHAT, "POST", ())


def call_of(text: str, template: str = "") -> Call:
    """Return the plainest chat as the adapter reads it."""
    if _ADAPTER is None:
        raise LookupError(CHAT)
    return read_call(_ADAPTER, Target(CHAT), asked(text, template))


@dataclass
class OnceAnalyzer:
    """Puts observations together from what texts show.

    Attributes:
        inner: The policy's analyzer.
        names: Names of the capabilities.
        suspends: Whether `analyze` may wait.
    """

    inner: FittedAnalyzer
    suspends: bool = False
    _prompts: dict[bytes, Observation] = field(default_factory=dict[bytes, Observation])
    _templates: dict[bytes, Observation] = field(default_factory=dict[bytes, Observation])
    _kept: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        return self.inner.names

    @property
    def looked_at(self) -> int:
        """Prompts looked at so far, once for each fit."""
        return len(self._prompts)

    async def analyze(self, call: Call, _: str, /) -> Observation:
        text = call.segments[-1].text
        found = await self._prompt(text)
        if not call.template:
            return found
        shown = await self._template(call.template)
        return msgspec.structs.replace(
            found, fed=shown.fed, template=shown.template, subject=shown.subject
        )

    async def aclose(self) -> None:
        """Nothing: `inner` serves others too."""

    def load(self, path: Path) -> None:
        """Take over what another run saw with the same code, if there is any."""
        if path.is_file():
            code, seen = _KEPT.decode(path.read_bytes())
            if code == _code():
                self._prompts.update(seen)
                self._kept = len(self._prompts)

    def save(self, path: Path) -> None:
        """Keep what prompts show for other runs: numbers and hashes, and no text.

        What other processes have written meanwhile stays, unless two write at the same moment.
        """
        if len(self._prompts) > self._kept:
            self.load(path)
            self._kept = len(self._prompts)
            with NamedTemporaryFile(dir=path.parent, delete=False) as file:
                file.write(msgspec.msgpack.encode((_code(), self._prompts)))
            Path(file.name).replace(path)

    async def _prompt(self, text: str) -> Observation:
        key = _digest(_looks(current()), text)
        found = self._prompts.get(key)
        if found is None:
            caller = f"prompt {len(self._prompts)}"
            found = self._prompts[key] = await self.inner.analyze(call_of(text), caller)
        return found

    async def _template(self, template: str) -> Observation:
        key = _digest(_looks(current()), template)
        found = self._templates.get(key)
        if found is None:
            caller = f"template {len(self._templates)}"
            call = call_of("?", template)
            found = self._templates[key] = await self.inner.analyze(call, caller)
        return found


@cache
def _looks(fit: Fit) -> str:
    """Return a hash of those constants of a fit that decide what prompts show."""
    parts = {name: one for name, one in fit.constants.items() if name.startswith("embedding.")}
    return blake2b(repr(sorted(parts.items())).encode(), digest_size=16).hexdigest()


def _digest(fit: str, text: str) -> bytes:
    return blake2b(f"{fit} {text}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _code() -> str:
    """Return a hash of the code and the data by which prompts are looked at."""
    found, home = blake2b(digest_size=16), Path(querybudget.__file__).parent
    looked = [home / "coverage/observation.py", home / "coverage/style.py", home / "templates.py"]
    for path in sorted([*looked, *home.glob("embedding/**/*"), *home.glob("adapters/*.py")]):
        if path.is_file() and path.suffix != ".pyc":
            found.update(path.read_bytes())
    return found.hexdigest()
