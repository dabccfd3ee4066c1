"""Many sources into many styles: one file for each pair, in a folder that a second call completes."""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import multiprocessing
import os
import re
import signal
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from stargan import zoo
from stargan.faces.squares import ALL, Choice, put_back, squares
from stargan.files import whole
from stargan.files.kinds import unfilled
from stargan.media import images
from stargan.media.reading import NAMES
from stargan.model import Model
from stargan.translate import Translator

EXTENSIONS = frozenset(extension for extension, kind in Image.registered_extensions().items() if kind in images.FORMATS)
REQUEST = "request.json"
AT_ONCE = 8  # styles that a source is decoded for together
GRID = 16  # sources and styles that a grid shows at most
MOST_BYTES = 255  # of the name of a file


class BulkError(ValueError):
    """A translation of many that cannot be done; the sentence says what to change."""


@dataclass(frozen=True)
class Job:
    """What is done to each source: small, and can be sent to another process.

    model, domains, wing: as `zoo.load` takes them. styles: by name, (style_dim,) float32. aligner: one of model.ALIGNERS, or None
    for the central square. likeness: None for the model's own. face: which of a source's, as `squares` takes it. paste: whether the
    translations go back into their photographs.
    """

    model: str
    styles: Mapping[str, np.ndarray]
    out: Path
    masks: bool = True
    aligner: str | None = "fan-68"
    domains: tuple[str, ...] | None = None
    wing: str | None = None
    likeness: float | None = None
    face: Choice = None
    paste: bool = False

    @property
    def apart(self) -> bool:
        """Whether each face goes into a file of its own."""
        return self.face == ALL and not self.paste

    def targets(self, name: str, face: int = 1) -> dict[str, Path]:
        """Where the source of that name goes, by style; a name that no file can have is cut, with a tail of its own. face: its
        number, where they go apart."""
        each = f"-face-{face}" if self.apart else ""
        return {style: self.out / _fitting(name, each, style) for style in self.styles}

    def everything(self, name: str) -> list[Path]:
        """The same for all faces of which there are files by now."""
        found = list(self.targets(name).values())
        for face in itertools.count(2) if self.apart else ():
            there = [path for path in self.targets(name, face).values() if path.exists()]
            if not there:
                break
            found += there
        return found

    def missing(self, sources: Mapping[str, Path]) -> dict[str, Path]:
        """The sources that lack some of their files."""
        return {name: path for name, path in sources.items() if not all(t.exists() for t in self.targets(name).values())}


@dataclass(frozen=True)
class Result:
    """How it went with one source. failure: why nothing came of it. notes: sentences that the person should read."""

    source: Path
    failure: str | None = None
    notes: tuple[str, ...] = ()


def sources(paths: Iterable[Path], out: Path) -> dict[str, Path]:
    """Pictures by name: of a file its stem; of those in a folder, at any depth, their path in it without the extension.

    Names that differ in nothing but case or extension get a tail of their own. What lies in `out` is no source. BulkError for
    a path that is not there, for a folder without pictures, and for one that is `out`.
    """
    return _by_name(_find(paths, out))


def references(paths: Iterable[Path], out: Path) -> dict[str, Path]:
    """The same with names that can follow a source's in a file: they hold no folder, and no second hyphen after a hyphen."""
    found = _find(paths, out)
    return _by_name({file: "-".join(filter(None, re.split("[-/]", name))) for file, name in found.items()})


def _find(paths: Iterable[Path], out: Path) -> dict[Path, str]:
    found: dict[Path, str] = {}
    for path in paths:
        if path.is_dir():
            if path.resolve() == out.resolve():
                raise BulkError(f"{out} holds the sources; write into another folder")
            inside = [file for file in sorted(path.rglob("*")) if _is_picture(file, path, out)]
            if not inside:
                raise BulkError(f"there are no pictures in {path}; use {NAMES}")
            found |= {file: file.relative_to(path).with_suffix("").as_posix() for file in inside}
        elif path.exists():
            found[path] = path.stem
        else:
            raise BulkError(f"there is no file or folder {path}{unfilled(path)}")
    return found


def _by_name(found: Mapping[Path, str]) -> dict[str, Path]:
    # Some file systems take A for a.
    times = Counter(name.casefold() for name in found.values())
    return {name if times[name.casefold()] == 1 else f"{name}-{_tail(file)}": file for file, name in found.items()}


def _is_picture(file: Path, folder: Path, out: Path) -> bool:
    inside = file.relative_to(folder)
    hidden = any(part.startswith(".") for part in inside.parts)
    made = (folder.resolve() / inside).is_relative_to(out.resolve())
    return file.suffix.lower() in EXTENSIONS and file.is_file() and not hidden and not made


def _tail(file: Path) -> str:
    """Of the path rather than a count, so that a name stays a file's own when others come and go."""
    return _digest(os.path.abspath(file))


def _digest(text: str) -> str:
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:6]


def _fitting(name: str, each: str, style: str) -> str:
    """A source's name, which of its faces, and a style as the path of a picture whose file name is no longer than MOST_BYTES."""
    folder, last = os.path.split(name)
    if len(os.fsencode(f"{last}{each}--{style}.png")) > MOST_BYTES:
        style = _cut(style, MOST_BYTES // 2)
        last = _cut(last, MOST_BYTES - len(os.fsencode(f"{each}--{style}.png")))
    return os.path.join(folder, f"{last}{each}--{style}.png")


def _cut(text: str, most: int) -> str:
    """A text of so many bytes at most, with a tail of its own where it was longer; no hyphen comes before the tail's."""
    raw = os.fsencode(text)
    return text if len(raw) <= most else f"{raw[: most - 7].decode(errors='ignore').rstrip('-')}-{_digest(text)}"


def rank_and_world() -> tuple[int, int]:
    """Which process this is, from 0, and of how many, as `accelerate launch` and torchrun say: (0, 1) without them."""
    try:
        rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    except KeyError:
        return 0, 1
    except ValueError:
        rank, world = -1, 0
    if not 0 <= rank < world:
        raise BulkError("RANK and WORLD_SIZE in the environment are no process and number of processes; unset them")
    return rank, world


def own_gpu(rank: int, world: int) -> None:
    """Gives each of several processes a GPU of its own, where there are as many."""
    if world > 1 and torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", rank)) % torch.cuda.device_count())


def shard(sources: Mapping[str, Path], rank: int, world: int) -> dict[str, Path]:
    """The shard of one process; the shards of all processes together are all sources, once."""
    return dict(list(sources.items())[rank::world])


def fingerprint(model: Model) -> str:
    """A short text that is another one for other weights."""
    digest = hashlib.sha256()
    for net in model.networks.values():
        for key, value in net.state_dict().items():
            digest.update(key.encode() + value.contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def open_folder(out: Path, request: dict[str, object], targets: Sequence[Path], overwrite: bool = False) -> None:
    """Makes `out` hold this request, so that the files that are there belong to it.

    request: what decides the pictures, as JSON has it; it is kept in `out`. overwrite: removes the targets that are there.
    BulkError where `out` is of another request.
    """
    path = out / REQUEST
    out.mkdir(parents=True, exist_ok=True)
    held = _read(path)
    if overwrite:
        for target in targets:
            target.unlink(missing_ok=True)
    elif held is None and any(target.exists() for target in targets):
        raise BulkError(f"{out} has pictures of these names, but no {REQUEST}; write into another folder or give --overwrite")
    elif held not in (None, request):
        other = ", ".join(key for key in request if held is None or held.get(key) != request[key])
        raise BulkError(f"{out} was made with another {other}; write into another folder or give --overwrite")
    if held != request:
        with whole(path) as partial:
            partial.write_text(json.dumps(request, indent=1))


def _read(path: Path) -> dict[str, object] | None:
    try:
        held = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError:
        held = None
    return held if isinstance(held, dict) else {}


def run(job: Job, sources: Mapping[str, Path], workers: int = 1) -> Iterator[Result]:
    """Translates sources, spread over processes where workers is above 1; yields how it went, in the order in which it did.

    Files that are there stay as they are. BulkError where a process dies.
    """
    if workers == 1 or len(sources) < 2:
        for name, path in sources.items():
            yield translate(job, name, path)
        return
    # Forked by a process that has read the libraries for all of them, and runs none of torch's threads, which survive no fork.
    context = multiprocessing.get_context("forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn")
    context.set_forkserver_preload([__name__])
    with ProcessPoolExecutor(min(workers, len(sources)), context, _start, (workers,)) as pool:
        try:
            for future in as_completed([pool.submit(translate, job, name, path) for name, path in sources.items()]):
                yield future.result()
        except BrokenProcessPool:
            raise BulkError("a worker died, perhaps for lack of memory; call again with fewer: what is done is kept") from None
        finally:
            pool.shutdown(cancel_futures=True)


def _start(workers: int) -> None:
    """Prepares a worker."""
    # Ctrl-C reaches the whole group; the parent lets each worker finish the source that it is at.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    threads = max(1, torch.get_num_threads() // workers)
    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def _end_with_parent() -> None:
    """A pool whose parent was killed would wait for work for ever."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@functools.lru_cache(maxsize=1)
def translator(model: str, domains: tuple[str, ...] | None = None, wing: str | None = None) -> Translator:
    """The translator of a process for that model, loaded once."""
    return Translator(zoo.load(model, domains=domains, wing=wing))


def translate(job: Job, name: str, path: Path) -> Result:
    """Translates one source into the styles whose files are missing; it is encoded once. Never raises: see Result.failure."""
    missing = [style for style, target in job.targets(name).items() if not target.exists()]
    try:
        ready = translator(job.model, job.domains, job.wing)
        photograph = images.read(path)
        cut, notes = squares(photograph, ready.model.config.image_size, job.aligner, job.face, ready.model.frame)
        encoded = [ready.encode(one.image, masks=job.masks, likeness=job.likeness) for one in cut]
        for styles in (missing[i : i + AT_ONCE] for i in range(0, len(missing), AT_ONCE)):
            codes = torch.from_numpy(np.stack([job.styles[style] for style in styles]))
            decoded = [ready.decode(face, codes) for face in encoded]
            for i, style in enumerate(styles):
                results = [images.to_pil(face[i]) for face in decoded]
                if job.paste:
                    results = [put_back(photograph, cut, results)]
                # The first comes last, as its file says that all are there.
                for number in range(len(results), 0, -1):
                    target = job.targets(name, number)[style]
                    target.parent.mkdir(parents=True, exist_ok=True)
                    images.write(results[number - 1], target)
    except (ValueError, OSError) as error:
        return Result(path, str(error))
    except Exception as error:
        # A picture that trips a library up is no reason to stop the others.
        return Result(path, f"{type(error).__name__}: {error}")
    return Result(path, notes=notes)


def square(
    image: Image.Image, model: Model, aligner: str | None, face: int | None = None
) -> tuple[Image.Image, tuple[str, ...]]:
    """The square that a model takes, with notes for the person: the aligned face, or the middle without an aligner."""
    (one,), notes = squares(image, model.config.image_size, aligner, face, model.frame)
    return one.image, notes


def grid(job: Job, sources: Mapping[str, Path], heads: Mapping[str, Image.Image]) -> Image.Image | None:
    """The first GRID sources that have all their files down the side, the first GRID styles across, as in the paper's figures.

    heads: the square picture of the model's size that stands above each style. None where no source has all its files.
    """
    model = translator(job.model, job.domains, job.wing).model
    size = model.config.image_size
    missing = job.missing(sources)
    shown = [name for name in sources if name not in missing][:GRID]
    styles = list(job.styles)[:GRID]
    if not shown:
        return None
    sheet = Image.new("RGB", (size * (1 + len(styles)), size * (1 + len(shown))), "white")
    for x, style in enumerate(styles, 1):
        sheet.paste(heads[style], (size * x, 0))
    for y, name in enumerate(shown, 1):
        picture, _ = square(images.read(sources[name]), model, job.aligner, None if job.face is None else int(job.face))
        sheet.paste(picture, (0, size * y))
        for x, style in enumerate(styles, 1):
            sheet.paste(images.read(job.targets(name)[style]), (size * x, size * y))
    return sheet


def label(text: str, size: int) -> Image.Image:
    """A text in the middle of a white square."""
    image = Image.new("RGB", (size, size), "white")
    ImageDraw.Draw(image).text((size / 2, size / 2), text, "black", ImageFont.load_default(size / 8), anchor="mm")
    return image
