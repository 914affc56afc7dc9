"""Blocking embedders in this process: a model2vec model, or any function of texts.

Each runs in its own thread, off the event loop, one batch at a time.
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

from querybudget.embedding.base import unit_vectors
from querybudget.embedding.static import sample
from querybudget.errors import EmbeddingError, SetupError
from querybudget.redact import error_type

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAX_BATCHES = 256
"""Batches that may wait for the thread."""


class CallableEmbedder:
    """An embedder that calls a function from a list of texts to one vector per text.

    Args:
        function: Called in its own thread, never concurrently. Its vectors are scaled to unit
            length.
        name: Name and version of the embedding, as in its codebook.
        dimensions: Length of a vector.
        timeout: Seconds after which `embed` fails.

    Raises:
        SetupError: The function is a coroutine function.
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
                f"expected a regular function to embed with, found the coroutine function {name}:"
                " it runs in its own thread and may block"
            )
        self._function = function
        self.name = name
        self.dimensions = dimensions
        self._timeout = timeout
        self._thread: ThreadPoolExecutor | None = None
        self._jobs: set[Future[NDArray[np.float32]]] = set()

    async def embed(self, texts: Sequence[str], /) -> NDArray[np.float32]:
        """Return one unit vector per text; zeros where the function returns zeros.

        Raises:
            EmbeddingError: The function is late, overloaded, fails, or returns something else.
        """
        if not texts:
            return np.zeros((0, self.dimensions), np.float32)
        if len(self._jobs) >= _MAX_BATCHES:
            raise EmbeddingError(f"{self.name} already has {_MAX_BATCHES} batches waiting")
        # Started on first use: a thread does not survive a fork.
        self._thread = self._thread or ThreadPoolExecutor(1, "querybudget-embedding")
        job = self._thread.submit(self._run, [sample(text) for text in texts])
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.wrap_future(job)
        except TimeoutError as error:
            raise EmbeddingError(f"{self.name} did not answer within {self._timeout} s") from error

    async def aclose(self) -> None:
        """Let the thread end after its current batch, and drop the batches that wait for it."""
        if self._thread is not None:
            self._thread.shutdown(wait=False, cancel_futures=True)
            self._thread = None

    def _run(self, texts: list[str]) -> NDArray[np.float32]:
        try:
            values = self._function(texts)
        except Exception as error:
            # Only the type: the error's text may contain a prompt, and errors are logged.
            raise EmbeddingError(f"{self.name} raised {error_type(error)}") from error
        return unit_vectors(values, len(texts), self.dimensions, self.name)


def model2vec(path: str, *, timeout: float = 0.5) -> CallableEmbedder:
    """Return an embedder for a model2vec model.

    Args:
        path: Folder of the model, or the name to download it by.
        timeout: Seconds after which `embed` fails.

    Raises:
        SetupError: model2vec is not installed, or finds no such model.
    """
    try:
        package: Any = import_module("model2vec")  # an extra
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
    """Return an embedder for the function named by ``package.module:function``.

    Raises:
        SetupError: There is no such module, or no such function in it.
    """
    module, _, function = target.partition(":")
    try:
        value: object = import_module(module)
        for attribute in function.split("."):
            value = getattr(value, attribute)
    except (AttributeError, ImportError, ValueError) as error:
        raise SetupError(
            f"expected package.module:function to embed with, found {target!r}: {error}"
        ) from error
    if not callable(value):
        raise SetupError(f"expected a function at {target}, found {type(value).__name__}")
    return CallableEmbedder(value, name=target, dimensions=dimensions, timeout=timeout)
