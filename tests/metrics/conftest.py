from __future__ import annotations

import pytest

from querybudget.policy.model import Policy


@pytest.fixture
def policy() -> Policy:
    return Policy.load(
        {
            "secret": "0123456789abcdef0123456789abcdef",
            "models": {
                "gpt-5*": {"input": "$1", "output": "$2"},
                "claude-*": {"input": "$1", "output": "$2"},
            },
            "tiers": {"gold": {"when": {"source": ["user"]}, "scale": {"rpm": 2}}},
            "budgets": [
                {"name": "rpm", "limit": "3 requests/minute"},
                {"name": "house", "limit": "10 requests/hour", "per": "everyone"},
                {"name": "trial", "limit": "1 requests/hour", "mode": "shadow"},
            ],
        }
    )
