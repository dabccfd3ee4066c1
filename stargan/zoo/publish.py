"""A Space of the page: what it consists of, in a folder. `trial` starts it from there, `hub` uploads it."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch
import yaml

from stargan import zoo
from stargan.files import FULL, checkpoint, places
from stargan.model import Model

SINGLE = ("app.py", "requirements.txt", "LICENSE", "docs/architecture.md")
SOURCES = {
    "stargan": (".py", ".css", ".js", ".webp", ".md"),
    "train": (".py", ".yaml"),
    "weights": (".safetensors", ".json", ".md", ".jpg", ".png"),
}
LARGE = ".safetensors"  # goes by LFS
# By the first line a folder is known that this has written, and that it may write anew.
MARK = "# Written by `python -m stargan publish`, which may write this folder anew."
ATTRIBUTES = f"{MARK}\n*{LARGE} filter=lfs diff=lfs merge=lfs -text\n"


class PublishError(ValueError):
    """A Space or a model that cannot be made, used or uploaded; the sentence says what to do."""


@dataclass(frozen=True)
class Space:
    """An assembled folder. licence: of the weights that are shown first."""

    folder: Path
    model: str
    licence: str
    card: dict[str, object]

    @property
    def files(self) -> dict[str, int]:
        """Sizes in bytes by path, in order: a page that was started from the folder has kept there what it shows first."""
        return {p.relative_to(self.folder).as_posix(): p.stat().st_size for p in sorted(self.folder.rglob("*")) if p.is_file()}

    def plan(self) -> str:
        """What goes up, a file a line."""
        lines = [
            f"shows first: {self.model} (licence of its weights: {self.licence})",
            ", ".join(f"{key}: {self.card.get(key)}" for key in ("sdk", "sdk_version", "python_version", "app_file", "license")),
            *listed(self.files, self.folder),
        ]
        return "\n".join(lines)


def listed(files: Mapping[str, int], folder: Path) -> list[str]:
    """What goes up: a line on each file, and one on all."""
    by_lfs = sum(size for path, size in files.items() if path.endswith(LARGE))
    return [
        *(f"{_size(n)}  {path}{'  by LFS' if path.endswith(LARGE) else ''}" for path, n in files.items()),
        f"{_size(sum(files.values()))}  in {len(files)} files, {_size(by_lfs).strip()} by LFS, in {os.path.relpath(folder)}",
    ]


def repository(name: str, kind: str = "Space") -> str:
    """The name, where it can be that of a Space, or of another kind of repository: user/name; PublishError otherwise."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    with contextlib.suppress(HFValidationError):
        validate_repo_id(name)
        if name.count("/") == 1:
            return name
    raise PublishError(
        f"{name!r} cannot be the name of a {kind}; write user/name with letters, digits, and single -, _ or . between them"
    )


def agreed(name: str, said: str, given: str | None = None) -> str:
    """The licence of a model's weights: what it says, or else what is given for it. PublishError where neither says one, or the two
    differ."""
    wish = " ".join((given or "").split())
    if given is not None and not wish:
        raise PublishError("--licence is empty; say one, such as --licence 'CC BY 4.0'")
    if not said.strip() and not wish:
        raise PublishError(
            f"{name} says no licence for its weights, so that nobody would know what they may do with it; say one by --licence, "
            "such as --licence 'CC BY 4.0' (that of its pictures decides which)"
        )
    if said.strip() and wish not in ("", said):
        raise PublishError(f"the model says its licence already, {said!r}; leave --licence out")
    return wish or said


def precision(model: Model) -> torch.dtype:
    """Half precision where nothing is lost by it."""
    values = (value for net in model.networks.values() for value in net.state_dict().values() if value.is_floating_point())
    return torch.float16 if all(torch.equal(value.half().float(), value) for value in values) else torch.float32


def assemble(folder: Path, model: str = zoo.DEFAULT, given: str | None = None) -> Space:
    """Writes into `folder` what a Space consists of that shows `model` first, a bundled one or one that was trained here. given:
    the licence of its weights, where it says none; its file on the Space does then.

    PublishError for another model, for one without a licence, for a folder that holds something else, and where it cannot be
    written.
    """
    folder = folder.absolute()
    check_target(folder)
    sources = _sources(model)
    shown = zoo.load(model)
    licence = agreed(model, shown.licence, given)
    readme, card = _readme(licence, sources)
    models = [model, *(name for name in zoo.bundled() if name != model)]
    texts = {
        ".gitattributes": ATTRIBUTES,
        "README.md": readme,
        "weights/models.json": json.dumps(models),
    }
    with written(folder) as partial:
        for path, source in sources.items():
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, partial / path)
        if licence != shown.licence:
            checkpoint.save(dataclasses.replace(shown, licence=licence), partial / _place(model), precision(shown))
        for path, text in texts.items():
            (partial / path).write_text(text, encoding="utf-8")
    return Space(folder, model, licence, card)


def _place(model: str) -> str:
    """Where a model that was trained here stands on the Space."""
    return f"weights/{model}/model{LARGE}"


def _sources(model: str) -> dict[str, Path]:
    """Which file here stands at which path of the Space."""
    models = zoo.available()
    if model in zoo.PUBLISHED and model not in models:
        licence = zoo.PUBLISHED[model].licence
        raise PublishError(f"{model} is its authors' to hand on, under {licence}; publish one of {', '.join(models)}")
    if model not in models:
        raise PublishError(f"there is no model {model!r} here that could be published; choose one of {', '.join(models)}")
    found = {name: places.ROOT / name for name in SINGLE}
    if missing := [name for name, path in found.items() if not path.is_file()]:
        raise PublishError(f"a Space is made of the repository, and {places.ROOT} has no {missing[0]}; publish from a clone of it")
    for top, kinds in SOURCES.items():
        for path in sorted((places.ROOT / top).rglob("*")):
            inner = path.relative_to(places.ROOT)
            if path.is_file() and path.suffix in kinds and not any(part.startswith((".", "__pycache__")) for part in inner.parts):
                found[inner.as_posix()] = path
    file, target = models[model], f"weights/{model}"
    if f"{target}/{file.name}" not in found:
        found[_place(model)] = file
        if (card := file.with_name("README.md")).is_file():
            found |= {f"{target}/README.md": card, **pictures(card, target)}
    return found


def _readme(licence: str, sources: dict[str, Path]) -> tuple[str, dict[str, object]]:
    """README with the front matter of this Space, whose pictures join the sources, and that front matter."""
    path = places.ROOT / "README.md"
    match = re.match(r"---\n(.*?\n)---\n", path.read_text(encoding="utf-8"), re.DOTALL)
    if match is None:
        raise PublishError(f"{path} has no front matter, by which the Hub knows a Space; put it back")
    card = yaml.safe_load(match[1]) | {
        "sdk": "gradio",
        "sdk_version": metadata.version("gradio"),
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "app_file": "app.py",
    }
    # The strictest licence is the one that the whole can be used under.
    if re.search(r"\bNC\b|non-?commercial", licence, re.IGNORECASE):
        known = re.fullmatch(r"CC (BY-NC(?:-SA|-ND)?) (\d\.\d)", licence)
        card["license"] = f"cc-{known[1]}-{known[2]}".lower() if known else "other"
    sources |= {"README.md": path, **pictures(path, "")}
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{text}---\n{match.string[match.end() :]}", card


def pictures(page: Path, folder: str) -> dict[str, Path]:
    """The files that a page shows, by where they stand when the page is in that folder of the Space."""
    found = {}
    for name in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in name:
            if not (page.parent / name).is_file():
                raise PublishError(f"{page} shows {name}, which is not there; put it back, or take it out of the page")
            found[f"{folder}/{name}".lstrip("/")] = page.parent / name
    return found


def check_target(folder: Path, mark: str = MARK) -> None:
    """PublishError for a folder that holds something else than what a command of ours has written: its .gitattributes begin with
    that mark."""
    path = folder / ".gitattributes"
    ours = path.is_file() and path.read_text(errors="replace").startswith(mark) and not (folder / ".git").exists()
    if folder.exists() and not (folder.is_dir() and (ours or not any(folder.iterdir()))):
        raise PublishError(f"{folder} holds something else; give an empty or a new folder with --out")


@contextlib.contextmanager
def written(folder: Path) -> Iterator[Path]:
    """Where to write a folder that takes that one's place once the block has ended without an error. PublishError where it cannot
    be written."""
    partial = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        yield partial
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
    except OSError as error:
        advice = "make room" if error.errno in FULL else "choose another one with --out"
        raise PublishError(f"{folder} cannot be written ({error.strerror or error}); {advice}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def tail(text: str) -> str:
    """The end of what a program said, on one line."""
    return " ".join(text.split())[-800:] or "it said nothing"


def _size(count: int) -> str:
    return f"{count / 1e6:8.2f} MB" if count >= 1e6 else f"{count / 1e3:8.2f} kB"
