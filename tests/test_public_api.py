from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version

import pytest

import querybudget


@pytest.mark.parametrize("name", querybudget.__all__)
def test_a_public_name_resolves(name: str) -> None:
    assert getattr(querybudget, name) is not None
    assert name in dir(querybudget)


def test_the_names_are_sorted() -> None:
    assert querybudget.__all__ == sorted(querybudget.__all__)


def test_the_version_is_the_distribution_s() -> None:
    assert querybudget.__version__ == version("querybudget")


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


def test_the_package_alone_loads_none_of_its_rooms() -> None:
    assert {name for name in loaded_by("import querybudget") if "querybudget." in name} == set()
