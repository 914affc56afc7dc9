"""An environment as users have it: the wheel, and what it depends on, and not this repository."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parents[2]


def environment(folder: Path, wheel: Path) -> Path:
    """Make one in a folder; return its Python.

    Packages other than querybudget are those of the environment that runs the tests, by a line of
    a `.pth` file. So nothing is downloaded.
    """
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    (site / "a0_tools.pth").write_text("\n".join(_packages()))
    install = ("install", "--no-deps", "--no-index", "--no-build-isolation", "--no-compile")
    run(sys.executable, "-m", "pip", "--quiet", "--python", python, *install, wheel)
    return python


def run(*command: object, cwd: Path | None = None, **environ: str) -> str:
    """Run a command and return what it prints.

    Raises:
        AssertionError: It failed; with what it printed.
    """
    hidden = ("PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST", "COVERAGE_PROCESS_START")
    kept = {name: value for name, value in os.environ.items() if name not in hidden}
    ran = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**kept, **environ},
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def _packages() -> list[str]:
    """Return the folders of packages that this process imports from, but for querybudget's own."""
    own = sysconfig.get_path("purelib")
    return [path for path in sys.path if "site-packages" in path and path != own] or [own]
