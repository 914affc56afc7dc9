from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

import querybudget


@pytest.mark.parametrize("name", querybudget.__all__)
def test_a_public_name_resolves(name: str) -> None:
    assert getattr(querybudget, name) is not None
    assert name in dir(querybudget)


def test_the_names_are_those_that_type_checkers_see() -> None:
    tree = ast.parse(Path(querybudget.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {node.names[0].name: f"{node.module}" for node in imports}
    homes = {name: f"querybudget.{module}" for name, module in querybudget._MODULE_OF.items()}
    assert seen == homes
    assert querybudget.__all__ == ["__version__", *sorted(seen)]


def test_the_version_is_the_distribution_s() -> None:
    assert querybudget.__version__ == version("querybudget")


def test_a_copy_without_metadata_has_an_unknown_version(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", missing)
    monkeypatch.delattr(querybudget, "__version__", raising=False)
    names: dict[str, object] = {}
    exec("from querybudget import *", names)  # noqa: S102 - a star import needs a module's level
    assert names["__version__"] == "unknown"
    assert set(querybudget.__all__) <= set(names)
    monkeypatch.delattr(querybudget, "__version__")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = querybudget.nonsense


def loaded_by(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


def test_the_middleware_loads_nothing_that_only_some_policies_need() -> None:
    loaded = loaded_by("from querybudget import QueryBudgetMiddleware")
    assert "querybudget.asgi" in loaded
    heavy = {"httpx", "httpx2", "numpy", "limits", "yaml", "starlette", "rich", "uvicorn"}
    assert loaded & heavy == set()


BUDGET = "{'name': 'rpm', 'limit': '1/minute'}"
CALL = """
import asyncio
from querybudget import Call, Dialect, Limiter, load_policy, request_scope
from querybudget.adapters.base import Channel, Segment
limiter = Limiter(load_policy({'secret': 'x' * 32, 'budgets': [%s]}))
call = Call(Dialect.OPENAI, 'chat', segments=(Segment(Channel.SAID, 'Why is the sky blue?'),))
admission = asyncio.run(limiter.admit(request_scope('/v1/chat/completions'), call))
assert admission.decision is not None and admission.decision.admitted
"""


def test_a_policy_without_buckets_loads_no_numpy_and_no_embedder() -> None:
    loaded = loaded_by(CALL % BUDGET)
    assert "querybudget.limiter" in loaded
    assert {name for name in loaded if name.split(".")[0] in {"numpy", "httpx"}} == set()
    assert {name for name in loaded if name.startswith("querybudget.embedding.")} == set()


def test_a_policy_with_buckets_loads_numpy_and_no_client() -> None:
    loaded = loaded_by(CALL % "{'name': 'breadth', 'limit': '9 buckets/day'}")
    assert "numpy" in loaded
    assert {name for name in loaded if name.split(".")[0] in {"httpx", "model2vec"}} == set()


def test_the_package_alone_loads_none_of_its_modules() -> None:
    assert {name for name in loaded_by("import querybudget") if "querybudget." in name} == set()
