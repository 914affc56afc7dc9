"""Every error that querybudget raises, in one tree.

    QueryBudgetError
    ├── PolicyError        the policy is wrong; lists every problem at once
    ├── SetupError         an extra is missing, a URL names no store, an argument cannot work
    ├── BodyError          a request body is not valid for its path
    ├── StoreError         the store could not answer; each budget's `on_store_error` decides
    │   └── UnusableStoreError   and never will, as it is set up
    ├── EmbeddingError     a prompt could not be embedded now; its call counts no buckets
    └── RefusedError       a call was refused, so the body of `Limiter.admitted` did not run

Anywhere else a refusal is not an error but a value: `Admission.refusal`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from querybudget.limiter.admission import Admission
    from querybudget.units import Micros

__all__ = [
    "BodyError",
    "EmbeddingError",
    "PolicyError",
    "PolicyProblem",
    "QueryBudgetError",
    "RefusedError",
    "SetupError",
    "StoreError",
    "UnusableStoreError",
]


class QueryBudgetError(Exception):
    """Base of every error raised by this package."""


class PolicyProblem(msgspec.Struct, frozen=True):
    """One thing wrong in a policy.

    Attributes:
        source: File name, or ``<mapping>`` for a policy passed as a mapping.
        line: Line in the file, from 1; 0 if there is none.
        path: Where in the policy, as ``$.budgets[2].limit``; empty if the file cannot be read.
        message: What was expected, what was found, and the nearest known word.
    """

    source: str
    line: int
    path: str
    message: str

    def __str__(self) -> str:
        if not self.path:
            return self.message
        where = f"{self.source}:{self.line}" if self.line else self.source
        return f"{where}: {self.message}, at {self.path}"


class PolicyError(QueryBudgetError):
    """A policy cannot be used. ``problems`` lists everything wrong, in the order of the file."""

    def __init__(self, problems: tuple[PolicyProblem, ...]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class SetupError(QueryBudgetError):
    """querybudget cannot run as it is set up; the message says what to do."""


class BodyError(QueryBudgetError):
    """A request body is not valid for its path."""


class StoreError(QueryBudgetError):
    """The store could not answer (unreachable, out of space, corrupt)."""


class UnusableStoreError(StoreError):
    """The store cannot answer, now or later, as it is set up; the message says what to do."""


class EmbeddingError(QueryBudgetError):
    """A prompt could not be embedded now: the embedder is late, down, or answers nonsense."""


class RefusedError(QueryBudgetError):
    """A call was refused. Its message says why in the words that an HTTP client would read.

    A pickled copy, as a process pool makes one, lacks what the caller sent: headers and prompt.

    Attributes:
        admission: The call's; `Admission.refusal` says why it was refused.
        wait: µs after which to try again; 0 if waiting does not help. The call then fits, unless
            others have used the budget meanwhile. A place under a limit of concurrent calls, or a
            store that is down, is only worth another try then: when it is free again is not known.
    """

    def __init__(self, message: str, admission: Admission, wait: Micros) -> None:
        self.admission = admission
        self.wait = wait
        super().__init__(message)

    def __reduce__(self) -> tuple[type[RefusedError], tuple[str, Admission, Micros]]:
        return type(self), (str(self), self.admission.without_request(), self.wait)
