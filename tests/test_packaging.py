"""The package as others install it: a wheel with the weights inside, alone in an environment, used from another folder."""

from __future__ import annotations

import ast
import email
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from PIL import Image

import stargan

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[1]
FIRST = "first.json"  # what the page has computed and keeps beside the model
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def alone(**variables: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "STARGAN_", "HF_"))}
    return kept | {"HF_HUB_OFFLINE": "1", "GRADIO_ANALYTICS_ENABLED": "False"} | variables


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from what the repository holds, apart from it: building leaves files behind."""
    work = tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False)
    names = listed.stdout.splitlines() or [
        str(p.relative_to(ROOT)) for top in ("stargan", "train", "weights") for p in (ROOT / top).rglob("*") if p.is_file()
    ] + ["app.py", "pyproject.toml", "README.md", "LICENSE"]  # fmt: skip
    for name in names:
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (work / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, work / "source" / name)
    pip = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(work), str(work / "source")]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (found,) = work.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the scripts of a fresh environment that holds the wheel; packages of others come from this one."""
    place = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    scripts = place / ("Scripts" if os.name == "nt" else "bin")
    python = scripts / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)],
        check=True, capture_output=True,
    )  # fmt: skip
    where = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = subprocess.run([str(python), "-c", where], capture_output=True, text=True, check=True).stdout.strip()
    Path(site, "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return scripts


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    from skimage import data

    Image.fromarray(data.astronaut()[:256, 96:352]).save(tmp_path / "photo.jpg")
    return tmp_path / "photo.jpg"


def test_dependencies_are_those_of_a_space() -> None:
    listed = {line.strip() for line in (ROOT / "requirements.txt").read_text().splitlines() if line.strip()}
    project = PROJECT["project"]
    extras = project["optional-dependencies"]
    assert listed == {*project["dependencies"], *extras["train"], *extras["eval"]}
    assert {*extras["onnx"], *extras["live"]} <= set(project["dependencies"]) and extras["onnx"] and extras["live"]
    assert {*extras["data"], *extras["likeness"]} <= set((ROOT / "tests" / "requirements.txt").read_text().split("\n"))


def test_every_dependency_has_both_bounds() -> None:
    project = PROJECT["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    for requirement in (Requirement(line) for group in groups for line in group):
        bounds = {part.operator for part in requirement.specifier}
        assert ">=" in bounds and "<" in bounds, f"{requirement} is not bound above and below"


@pytest.mark.slow
def test_the_wheel_says_what_it_is(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        facts = email.message_from_bytes(archive.read(name))
    assert facts["Version"] == stargan.__version__ and facts["License-Expression"] == "MIT"
    assert facts["Requires-Python"] and facts.get_payload().lstrip().startswith(("---", "# StarGAN v2"))
    assert set(facts.get_all("Provides-Extra")) == {"train", "eval", "onnx", "live", "data", "likeness"}


@pytest.mark.slow
def test_every_package_is_in_the_wheel(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    sources = {
        p.relative_to(ROOT).as_posix()
        for top in ("stargan", "train")
        for p in (ROOT / top).rglob("*")
        if "__pycache__" not in p.parts
    }
    wanted = {name for name in sources if Path(name).suffix in (".py", ".css", ".yaml", ".csv", ".typed")} | {"app.py"}
    weights = [p for p in (ROOT / "weights").rglob("*") if p.is_file() and p.name != FIRST]
    wanted |= {f"stargan/{p.relative_to(ROOT).as_posix()}" for p in weights}
    assert not wanted - held
    assert {"stargan/py.typed", "train/py.typed"} <= held and not any(name.startswith(("tests", "weights")) for name in held)
    assert any(name.endswith("licenses/LICENSE") for name in held)


def test_importing_and_asking_for_help_loads_nothing_heavy() -> None:
    """Importing the package brings nothing but itself and a little of the standard library."""
    new = "sorted({m.partition('.')[0] for m in set(sys.modules) - before})"
    code = f"import sys; before = set(sys.modules); import stargan; print({new})"
    done = subprocess.run([sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(ast.literal_eval(done.stdout))
    assert loaded - set(sys.stdlib_module_names) == {"stargan"} and len(loaded) < 40, loaded
    heavy = "[m for m in ('torch', 'gradio', 'cv2', 'numpy', 'PIL') if m in sys.modules]"
    code = f"import sys, stargan, stargan.cli.main, train.cli.main; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("script", ["stargan", "stargan-train", "stargan-app"])
def test_scripts_are_on_the_path(installed: Path, tmp_path: Path, script: str) -> None:
    done = subprocess.run(
        [str(installed / script), "--help"], cwd=tmp_path, env=alone(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0 and "usage" in done.stdout, done.stderr


@pytest.mark.slow
def test_the_block_of_readme_runs_from_the_wheel(installed: Path, photo: Path) -> None:
    block = re.search(r"## From Python\n\n```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    code = block[1] + "\nimport stargan, stargan.files.places\nprint(stargan.__file__)\nprint(stargan.files.places.weights())"
    done = subprocess.run(
        [str(installed / "python"), "-c", code], cwd=photo.parent, env=alone(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(str(installed.parent) in line for line in done.stdout.splitlines()[-2:]), "it is the wheel that has run"
    with Image.open(photo.parent / "woman.png") as picture:
        assert picture.width == picture.height >= 64


@pytest.mark.slow
def test_publishing_needs_the_repository(installed: Path, tmp_path: Path) -> None:
    command = [str(installed / "stargan"), "publish", "user/name", "--dry-run", "--check", "none"]
    done = subprocess.run(command, cwd=tmp_path, env=alone(), capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "publish from a clone" in done.stderr and done.stderr.count("\n") == 1
