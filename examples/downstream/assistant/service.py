"""The service: it knows its callers by their tokens, asks a model, and says what that used.

Run it with `uvicorn --factory assistant.service:create_app`.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from pydantic import BaseModel
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from querybudget import Limiter, QueryBudgetMiddleware

POLICY = Path(__file__).parents[1] / "policy.yaml"

ACCOUNTS = {  # of a real service in its database, or in a signed token
    "token-of-ada": {"sub": "ada", "team": "red", "plan": "paid"},
    "token-of-bob": {"sub": "bob", "team": "red", "plan": "paid"},
    "token-of-tim": {"sub": "tim", "team": "blue", "plan": "trial"},
}


class Question(BaseModel):
    """What is asked."""

    question: str


class Usage(BaseModel):
    """Tokens that an answer took."""

    input: int
    output: int


class Answer(BaseModel):
    """What is answered."""

    answer: str
    usage: Usage


class Accounts:
    """Tells the layers inside who calls: budgets read ``user`` and ``auth``."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "http":
            header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
            account = ACCOUNTS.get(header.removeprefix("Bearer "))
            if account is None:
                await JSONResponse({"detail": "sign in first"}, 401)(scope, receive, send)
                return
            scope = {**scope, "user": account["sub"], "auth": account}
        await self.app(scope, receive, send)


async def answer(question: Question) -> Answer:
    """Ask the model; here it is a stand-in that repeats the question."""
    words = question.question.split()
    text = " ".join(reversed(words))
    return Answer(answer=text, usage=Usage(input=len(words), output=2 * len(words)))


def create_app(limiter: Limiter | None = None) -> FastAPI:
    """Return the service.

    Args:
        limiter: For tests; by default, one is made from the policy.
    """
    app = FastAPI()
    app.post("/ask")(answer)
    # The layer that is added last is outermost: callers are known before budgets are charged.
    if limiter is None:
        app.add_middleware(QueryBudgetMiddleware, policy=POLICY)
    else:
        app.add_middleware(QueryBudgetMiddleware, limiter=limiter)
    app.add_middleware(Accounts)
    return app
