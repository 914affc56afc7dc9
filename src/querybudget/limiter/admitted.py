"""A body that runs only if its call is admitted."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from querybudget.adapters.base import Call, Usage
from querybudget.identity import Scope
from querybudget.limiter.admission import Admission, Outcome, refused_error
from querybudget.units import SECOND

if TYPE_CHECKING:
    from querybudget.limiter.limiter import Limiter

_ANSWERED = Outcome.ANSWERED


@asynccontextmanager
async def admitted(limiter: Limiter, scope: Scope, call: Call | None) -> AsyncGenerator[Admission]:
    """Do what `Limiter.admitted` says."""
    admission = await limiter.admit(scope, call)
    if admission.refusal is not None:
        raise refused_error(admission, limiter.policy.refusals)
    outcome, usage, began = Outcome.FAILED, None, False
    limiter.renewals.add(admission)
    try:
        if admission.delay:
            await limiter.sleep(admission.delay / SECOND)
        began = True
        yield admission
        outcome = _ANSWERED
        admission.verified = True
    except Exception:
        outcome = _ANSWERED if admission.reported else Outcome.FAILED
        raise
    except BaseException:
        outcome = _ANSWERED if began else Outcome.FAILED
        if admission.reported is None:
            usage = Usage(admission.estimate.usage.input, estimated=True)
        raise
    finally:
        await limiter.settle_call(admission, outcome, usage)
