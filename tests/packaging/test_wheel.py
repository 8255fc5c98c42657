"""The wheel alone, as a person gets it: built from the sdist, its requirements pinned, src/ out of reach."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from stepstream.server.page import BUILT

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command that must succeed; return what it printed."""
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command} failed:\n{result.stdout}{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the unpacked sdist."""
    directory = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", directory, ROOT, cwd=directory)
    (path,) = directory.glob("stepstream-*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin directory of a fresh environment that holds the wheel and its pinned requirements only."""
    directory = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", "environment", cwd=directory)
    binaries = directory / "environment" / "bin"
    pip = (sys.executable, "-m", "pip", "--quiet", "--python", binaries / "python", "install")
    run(
        *pip,
        "--require-hashes",
        "--only-binary=:all:",
        "-r",
        ROOT / "requirements/runtime.txt",
        cwd=directory,
    )
    run(*pip, "--no-deps", wheel, cwd=directory)
    return binaries


def test_every_file_of_the_package_is_in_the_wheel(wheel: Path) -> None:
    """Every file below src/stepstream, data included, is in the wheel, and nothing else is."""
    source = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src/stepstream").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if not name.startswith("stepstream-")}

    assert packed == source
    assert "stepstream/py.typed" in packed


def test_the_wheel_carries_its_licence(wheel: Path) -> None:
    """The wheel's metadata holds the licence file."""
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in zipfile.ZipFile(wheel).namelist())


def test_the_installed_command_prints_its_version(installed: Path, tmp_path: Path) -> None:
    """The command of the installed wheel prints the version that pyproject.toml states."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]

    assert version in run(installed / "stepstream", "--version", cwd=tmp_path)


def test_the_installed_package_is_complete(installed: Path, tmp_path: Path) -> None:
    """Every module of the wheel imports, outside the checkout, with the runtime requirements alone."""
    script = (
        "import importlib, pkgutil, stepstream\n"
        "skipped = ('stepstream.testing', 'stepstream.__main__')  # needs pytest; runs\n"
        "for module in pkgutil.walk_packages(stepstream.__path__, 'stepstream.'):\n"
        "    if not module.name.startswith(skipped): importlib.import_module(module.name)\n"
        "print(stepstream.__file__)\n"
    )

    location = run(installed / "python", "-c", script, cwd=tmp_path).strip()

    assert location.startswith(str(installed.parent))


@pytest.mark.skipif(not (BUILT / "index.html").is_file(), reason="the dashboard is not built")
def test_the_dashboard_is_in_the_wheel(wheel: Path) -> None:
    """The page is there with every file it names, and none of its sources."""
    with zipfile.ZipFile(wheel) as packed:
        names = set(packed.namelist())
        page = packed.read("stepstream/server/dashboard/index.html").decode()
    named = {f"stepstream/server/dashboard/{each}" for each in re.findall(r'"\./(assets/[^"]+)"', page)}

    assert len(named) >= 3
    assert named <= names
    assert not [name for name in names if name.endswith((".ts", ".tsx")) or "node_modules" in name]
