"""What stands on the page before anything was clicked: an example, translated, with its other styles."""

from __future__ import annotations

import contextlib
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stargan.files import places, whole
from stargan.ui import zero
from stargan.ui.library import Library
from stargan.ui.pictures import tiles
from stargan.ui.result import Result
from stargan.ui.scene import Scene
from stargan.ui.studio import SourceChoice, StyleChoice
from stargan.ui.style import FIRST_OFFERED, OFFERED, label

SEEDS = 1, 2, 3, 4  # of the four styles
FORMAT = 2  # of the file, and of what is in it


@dataclass(frozen=True)
class First:
    """scene: what is shown. result: the viewer's value. rows: of styles A and B, the values of the pictures to choose from."""

    scene: Scene
    result: dict[str, Any]
    rows: tuple[dict[str, Any], dict[str, Any]]


def first(library: Library, example: Path | None) -> First:
    """Made for the model that the page opens with, or found beside it: a file first.json, in the cache where that folder cannot be
    written. Under ZeroGPU, where there is nothing to make it with, it is empty unless it is found."""
    studio = library.get(library.default)
    domain = studio.domains[-1]
    corners = tuple(StyleChoice(domain, seed=seed) for seed in SEEDS)
    scene = Scene(library.default, SourceChoice(str(example) if example else None), corners)
    empty = First(scene, Result.value(None, None), (tiles([], []), tiles([], [])))
    folder = library.folder_of(library.default)
    if example is None:
        return empty
    written = [folder / "first.json", places.cache() / "first" / f"{library.default}.json"] if folder is not None else []
    key = _key(folder, example)
    for place in written:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            found = json.loads(place.read_text())
            if found["key"] == key:
                return First(scene, found["result"], _marked(found["row"]))
    if zero.ACTIVE:
        return empty
    try:
        made = _make(library, scene)
    except ValueError:  # the source says why
        return empty
    for place in written:
        with contextlib.suppress(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            with whole(place) as partial:
                Path(partial).write_text(json.dumps({"key": key, "result": made.result, "row": made.rows[0]}))
            break
    return made


def _make(library: Library, scene: Scene) -> First:
    studio = library.get(library.default)
    source = studio.prepare(scene.source).image
    encoded = studio.encode(scene.source, scene.keep)
    result = Result.value(source, studio.decode(encoded, scene.style(studio))[0])
    domain, seeds = scene.domain, range(FIRST_OFFERED, FIRST_OFFERED + OFFERED)
    row = tiles(studio.seeds(scene.source, scene.keep, domain, seeds, scene.strength), [label(domain, seed) for seed in seeds])
    return First(scene, result, _marked(row))


def _marked(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The row for A and for B, each with its style chosen."""
    a, b, *_ = ({**row, "chosen": seed - FIRST_OFFERED} for seed in SEEDS)
    return a, b


def _key(folder: Path | None, example: Path) -> str:
    """Another model, example or form makes it anew."""
    key = hashlib.sha256(f"{FORMAT} {SEEDS}".encode() + example.read_bytes())
    if folder is not None:
        for path in sorted(folder.glob("*.safetensors")):
            key.update(hashlib.sha256(path.read_bytes()).digest())
    return key.hexdigest()
