"""Embedders in this process that block: a model2vec model, or any function of texts.

Both run in one thread of their own, off the event loop, one batch after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from inspect import iscoroutinefunction
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from querybudget.embedding.static import sample
from querybudget.embedding.vectors import units
from querybudget.errors import EmbeddingError, SetupError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CallableEmbedder", "from_target", "model2vec"]

_WAITING = 256


class CallableEmbedder:
    """Any function from a list of texts to one vector for each, as an embedder.

    Args:
        function: Called in a thread of its own, never twice at once. What it returns is scaled to
            unit length.
        name: Of the embedding and its version, as its codebook knows it.
        dimensions: Length of a vector.
        timeout: Seconds from `embed` to its error.

    Raises:
        SetupError: The function is a coroutine function, which would block nothing and embed
            nothing.
    """

    suspends = True

    def __init__(
        self,
        function: Callable[[list[str]], Any],
        *,
        name: str,
        dimensions: int,
        timeout: float = 0.5,
    ) -> None:
        if iscoroutinefunction(function):
            raise SetupError(
                f"expected a plain function to embed with, found the coroutine function {name}:"
                " it runs in a thread of its own and may block there"
            )
        self._function = function
        self._name = name
        self._dimensions = dimensions
        self._timeout = timeout
        self._thread: ThreadPoolExecutor | None = None
        self._jobs: set[Future[NDArray[np.float32]]] = set()

    @property
    def name(self) -> str:
        """Name and version."""
        return self._name

    @property
    def dimensions(self) -> int:
        """Length of a vector."""
        return self._dimensions

    async def embed(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """One unit vector for each text; zeros where the function gives zeros.

        Raises:
            EmbeddingError: It is late, has too much to do, fails, or gives something else.
        """
        if not texts:
            return np.zeros((0, self._dimensions), np.float32)
        if len(self._jobs) >= _WAITING:
            raise EmbeddingError(f"{self._name} has {_WAITING} batches to embed already")
        return await self._timed([sample(text) for text in texts])

    async def aclose(self) -> None:
        """Let the thread end after what it is at; what waits for it is not done."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None

    async def _timed(self, texts: list[str]) -> NDArray[np.float32]:
        # Made where it is first needed: a thread does not live through a fork.
        self._thread = self._thread or ThreadPoolExecutor(1, "querybudget-embedding")
        job = self._thread.submit(self._run, texts)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.wrap_future(job)
        except TimeoutError as error:
            raise EmbeddingError(f"{self._name} is late by {self._timeout} s") from error

    def _run(self, texts: list[str]) -> NDArray[np.float32]:
        try:
            given = self._function(texts)
        except Exception as error:
            # Only its kind: a stranger's error may say the text, and errors are logged.
            raise EmbeddingError(f"{self._name} raised {type(error).__name__}") from error
        return units(given, len(texts), self._dimensions, self._name)


def model2vec(path: str, *, timeout: float = 0.5) -> CallableEmbedder:
    """A model2vec model as an embedder.

    Args:
        path: Folder of the model, or its name where models are downloaded from.
        timeout: Seconds from `embed` to its error.

    Raises:
        SetupError: model2vec is not installed, or finds no such model.
    """
    try:
        package: Any = import_module("model2vec")  # an extra: asked for where it is used
    except ImportError as error:
        raise SetupError(
            "the embedding model2vec needs the package model2vec:"
            " pip install 'querybudget[model2vec]'"
        ) from error
    try:
        model: Any = package.StaticModel.from_pretrained(path)
    except Exception as error:
        raise SetupError(f"expected a model2vec model at {path}: {error!r}") from error
    return CallableEmbedder(
        model.encode,
        name=f"model2vec:{PurePath(path).name}",
        dimensions=int(model.dim),
        timeout=timeout,
    )


def from_target(target: str, *, dimensions: int, timeout: float = 0.5) -> CallableEmbedder:
    """The function that ``package.module:function`` names, as an embedder.

    Raises:
        SetupError: There is no such module, or nothing in it of this name that can be called.
    """
    module, _, function = target.partition(":")
    try:
        found: object = import_module(module)
        for part in function.split("."):
            found = getattr(found, part)
    except (AttributeError, ImportError, ValueError) as error:
        raise SetupError(
            f"expected package.module:function to embed with, found {target!r}: {error}"
        ) from error
    if not callable(found):
        raise SetupError(f"expected a function at {target}, found {type(found).__name__}")
    return CallableEmbedder(found, name=target, dimensions=dimensions, timeout=timeout)
