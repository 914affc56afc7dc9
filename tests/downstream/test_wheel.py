"""The wheel in a user's project: it installs, its tests pass, and type checkers see its types."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import querybudget
from tests.downstream.environment import ROOT, environment, run

PROJECT = ROOT / "examples" / "downstream"
WHEELS = sorted((ROOT / "build" / "wheel").glob("*.whl"))

pytestmark = pytest.mark.skipif(
    not WHEELS or Path(querybudget.__file__).is_relative_to(ROOT / "src"),
    reason="`make test` builds the wheel",
)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return environment(tmp_path_factory.mktemp("environment"), WHEELS[-1])


@pytest.fixture
def project(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PROJECT, tmp_path / "project"))


def test_a_project_s_own_tests_and_those_of_its_policy_pass(python: Path, project: Path) -> None:
    printed = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=project)
    assert "9 passed" in printed
    printed = run(python, "-m", "querybudget", "test", "policy.yaml", cwd=project)
    assert "4 tests, 0 failed" in printed


@pytest.mark.slow
def test_type_checkers_see_the_types_of_what_users_import(python: Path, project: Path) -> None:
    shutil.copy(ROOT / "tests" / "downstream" / "public_api.py", project)
    checked = ("assistant", "tests", "public_api.py")
    run(python, "-m", "mypy", "--strict", "--cache-dir", project / "cache", *checked, cwd=project)
    run(python, "-m", "pyright", "--pythonpath", python, *checked, cwd=project)


def test_each_file_of_the_example_is_short() -> None:
    lengths = {
        path.name: len(path.read_text().splitlines())
        for path in PROJECT.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name, length in lengths.items() if length > 100} == set()
