"""`BlockingLimiter`: the limiter from threads that have no event loop."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from querybudget.adapters.base import Call, Dialect, Usage
from querybudget.errors import RefusedError, SetupError
from querybudget.limiter import Limiter, request_scope
from querybudget.limiter.blocking import BlockingLimiter
from querybudget.policy.model import Policy
from querybudget.testing import Decisions, memory_limiter

SCOPE = request_scope("/v1/chat/completions", headers={"authorization": "Bearer a"})


def chat() -> Call:
    return Call(Dialect.OPENAI, "chat", model="m", input_bytes=40)


def rules(limit: str = "3/minute") -> dict[str, Any]:
    return {"identity": ["api_key"], "budgets": [{"name": "rpm", "limit": limit}]}


def test_a_body_runs_in_its_own_thread_and_is_charged_what_it_reports() -> None:
    seen = Decisions()
    with BlockingLimiter(memory_limiter(rules(), hooks=[seen])) as limiter:
        for _ in range(3):
            with limiter.admitted(SCOPE, chat()) as admission:
                admission.used(Usage(3, output=4))
        with pytest.raises(RefusedError, match="rpm"), limiter.admitted(SCOPE, chat()):
            raise AssertionError("reached")
    assert [event.usage for event in seen.admitted] == [Usage(3, output=4)] * 3
    seen.assert_refused(1, by="rpm")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_body_that_raises_is_settled_and_its_error_is_the_callers(
    error: type[BaseException],
) -> None:
    seen = Decisions()
    with BlockingLimiter(memory_limiter(rules(), hooks=[seen])) as limiter:
        with pytest.raises(error), limiter.admitted(SCOPE, chat()):
            raise error
        with limiter.admitted(SCOPE, chat()):
            pass
    assert [event.settlement for event in seen.admitted] == ["done", "done"]


def test_threads_share_one_budget_and_none_gets_more() -> None:
    def work(limiter: BlockingLimiter) -> bool:
        try:
            with limiter.admitted(SCOPE, chat()):
                return True
        except RefusedError:
            return False

    with (
        BlockingLimiter(memory_limiter(rules("10/minute"))) as limiter,
        ThreadPoolExecutor(4) as pool,
    ):
        admitted = list(pool.map(work, [limiter] * 24))
    assert sum(admitted) == 10


def test_a_limiter_that_was_not_entered_says_so() -> None:
    limiter = BlockingLimiter(memory_limiter(rules()))
    with pytest.raises(SetupError, match="with BlockingLimiter"):
        limiter.admitted(SCOPE)
    with limiter:
        pass
    with pytest.raises(SetupError, match="with BlockingLimiter"):
        limiter.admitted(SCOPE)


def test_a_store_that_can_never_work_fails_on_entering_and_leaves_no_thread(tmp_path: Any) -> None:
    path = tmp_path / "accounts.db"
    path.write_bytes(b"no database" * 100)
    policy = Policy.load({**rules(), "secret": "0123456789abcdef"})
    blocking = BlockingLimiter(Limiter(policy, store=f"sqlite:///{path}"))
    with pytest.raises(SetupError), blocking:
        raise AssertionError("reached")
    with pytest.raises(SetupError, match="with BlockingLimiter"):
        blocking.admitted(SCOPE)


def entered(limiter: BlockingLimiter) -> bool:
    return limiter._portal is not None


def test_leaving_waits_for_the_bodies_of_other_threads_and_admits_no_other() -> None:
    seen = Decisions()
    limiter = BlockingLimiter(memory_limiter(rules(), hooks=[seen]))
    running, end, left = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        with limiter.admitted(SCOPE, chat()) as admission:
            running.set()
            assert end.wait(10)
            assert not left.is_set()
            admission.used(Usage(3, output=4))

    def use() -> None:
        with limiter:
            assert running.wait(10)
        left.set()

    user = threading.Thread(target=use)
    with ThreadPoolExecutor(1) as pool:
        user.start()
        while not entered(limiter):
            left.wait(0.001)
        future = pool.submit(work)
        assert running.wait(10)
        while entered(limiter):
            left.wait(0.001)
        with pytest.raises(SetupError, match="with BlockingLimiter"):
            limiter.admitted(SCOPE, chat())
        assert not left.wait(0.05)
        end.set()
        assert left.wait(10)
        future.result()
    user.join()
    assert [event.usage for event in seen.admitted] == [Usage(3, output=4)]


def test_a_limiter_is_entered_once_at_a_time() -> None:
    limiter = BlockingLimiter(memory_limiter(rules()))
    with limiter:
        with pytest.raises(SetupError, match="entered already"), limiter:
            raise AssertionError("reached")
        with limiter.admitted(SCOPE, chat()):
            pass
    with limiter, limiter.admitted(SCOPE, chat()):
        pass


def test_a_limiter_that_could_not_start_may_be_entered_again(tmp_path: Any) -> None:
    path = tmp_path / "accounts.db"
    path.write_bytes(b"no database" * 100)
    policy = Policy.load({**rules(), "secret": "0123456789abcdef"})
    limiter = BlockingLimiter(Limiter(policy, store=f"sqlite:///{path}"))
    with pytest.raises(SetupError), limiter:
        raise AssertionError("reached")
    path.unlink()
    with limiter, limiter.admitted(SCOPE, chat()):
        pass
