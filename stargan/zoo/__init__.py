"""Models by name: bundled under weights/, made here under runs/, published by the paper's authors, or on the Hub."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from stargan.faces.landmarks import load_fan68
from stargan.fan import FAN
from stargan.files import checkpoint, places, published
from stargan.files.checkpoint import CheckpointError
from stargan.files.download import Progress, ZooError, download
from stargan.files.kinds import is_checkpoint, unfilled
from stargan.model import Model

HUB_FILE = "model.safetensors"  # of a repository there, where no other is named
OF_FOLDERS = {HUB_FILE: "", "best.safetensors": "-best"}  # files known by their folder, and what is added to its name
HUB = re.compile(r"hf:([^\s:@/]+/[^\s:@/]+)(?:@([^\s:@]+))?(?::([^\s:]+\.(?:safetensors|ckpt|pt|pth)))?")


@dataclass(frozen=True)
class File:
    """A file on the web. size in bytes and sha256 in hexadecimal, None where its authors state none."""

    address: str
    name: str
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Entry:
    """A published model. w_hpf: the divisor of its high-pass filter, 0 without one. fan: fetched where the model holds none."""

    name: str
    licence: str
    source: str
    domains: tuple[str, ...]
    w_hpf: float
    model: File
    fan: File | None = None

    @property
    def size(self) -> int | None:
        """Bytes of the model's file, None where not known."""
        return self.model.size

    @property
    def folder(self) -> Path:
        """Where its files are kept."""
        return places.cache() / self.name

    @property
    def here(self) -> bool:
        """Whether it has been downloaded."""
        return (self.folder / self.model.name).is_file()


CC_BY_NC = "CC BY-NC 4.0"
AUTHORS = "https://github.com/clovaai/stargan-v2"
# Their authors state neither sizes nor hashes.
PUBLISHED = {
    "celeba-hq-256": Entry(
        "celeba-hq-256", CC_BY_NC, AUTHORS, ("female", "male"), w_hpf=1.0,
        model=File("https://www.dropbox.com/s/96fmei6c93o8b8t/100000_nets_ema.ckpt?dl=1", "100000_nets_ema.ckpt"),
        fan=File("https://www.dropbox.com/s/tjxpypwpt38926e/wing.ckpt?dl=1", "wing.ckpt"),
    ),
    "afhq-256": Entry(
        "afhq-256", CC_BY_NC, AUTHORS, ("cat", "dog", "wild"), w_hpf=0.0,
        model=File("https://www.dropbox.com/s/etwm810v25h42sn/100000_nets_ema.ckpt?dl=1", "100000_nets_ema.ckpt"),
    ),
}  # fmt: skip


class LicenceNotAccepted(ZooError):
    """A published model that is not here yet, under a licence that nobody has accepted. entry: which one."""

    def __init__(self, entry: Entry) -> None:
        super().__init__(
            f"{entry.name} is not here yet, and its authors ({entry.source}) publish it under {entry.licence}; "
            "accept that licence to download it (--accept-licence on the command line, accept_licence=True in Python)"
        )
        self.entry = entry


def bundled() -> tuple[str, ...]:
    """Names of the bundled models, the one that is taken by default first: what weights/models.json lists."""
    path = places.weights() / "models.json"
    return tuple(json.loads(path.read_text())) if path.exists() else ()


DEFAULT = next(iter(bundled()), "")


def available() -> dict[str, Path]:
    """Names and files of all models: bundled ones first, then the newest and the best that each training run here has made."""
    found = {name: places.weights() / name / "model.safetensors" for name in bundled()}
    for file in OF_FOLDERS:
        for path in sorted(places.runs().glob(f"*/{file}")):
            found.setdefault(called(path), path)
    return found


def called(path: Path) -> str:
    """The name that a model's file goes by: its folder's where it is called as a run calls what it makes, else its own."""
    path = Path(os.path.abspath(path))
    folder = path.parent.name  # none at the top of a disk
    return folder + OF_FOLDERS[path.name] if folder and path.name in OF_FOLDERS else path.stem


def discriminator(name: str) -> Path | None:
    """The file of the discriminator that was kept beside a model of that name, here or on the Hub, or in or beside that file; None
    where there is none."""
    if match := HUB.fullmatch(name):
        try:
            return _from_hub(match, checkpoint.discriminator_path(match[3] or HUB_FILE).as_posix())
        except _NoFile:
            return None
    path = Path(available().get(name, name))
    if not (path.is_file() and is_checkpoint(path)):
        path = checkpoint.discriminator_path(path)
        return path if path.is_file() else None
    # As published, the averaged networks are in one file, the discriminator is with the others.
    places = (path, path.with_name(path.name.replace("_nets_ema", "_nets")))
    return next((place for place in places if place.is_file() and published.has_discriminator(place)), None)


def downloadable() -> dict[str, Entry]:
    """Published models by name, whether downloaded or not."""
    return dict(PUBLISHED)


def load(
    name: str,
    accept_licence: bool = False,
    progress: Progress | None = None,
    domains: Sequence[str] | None = None,
    wing: Path | str | None = None,
) -> Model:
    """The model of that name, in that file (.safetensors, or a checkpoint that `published.load` reads), or on the Hub:
    `hf:user/name`, where wished with `@revision` and then `:file.safetensors`, model.safetensors by default.

    accept_licence: whether a published model may be downloaded under its `Entry.licence`. progress: as `download` calls it.
    domains: names for its domains, in the order of its branches, instead of those that it has. wing: the file of its FAN
    (`wing.ckpt`, or one of ours). Without it a checkpoint with masks takes the published FAN where that has been downloaded, and
    else the bundled one; `Model.notes` says so.

    LicenceNotAccepted where a published model would have to be downloaded without; ZooError where there is none of these, or it
    cannot be fetched; CheckpointError where a file cannot be used, or there are not as many domains.
    """
    models = available()
    if name in PUBLISHED and name not in models:
        model = _published(PUBLISHED[name], accept_licence, progress)
        if domains is not None:
            model.config = checkpoint.named(model.config, domains, PUBLISHED[name].folder)
    else:
        path = models.get(name) or _file(name, models)
        model = checkpoint.load(path, domains)
        if wing is None and model.fan is None and model.config.w_hpf and not checkpoint.is_ours(path):
            model.fan, note = _lent_fan(path)
            model.notes += (note,)
    if wing is not None:
        if not model.config.w_hpf:
            raise ZooError(f"{name} was trained without masks, so that it has no use for a FAN; leave {wing} out")
        model.fan = _fan(Path(wing))
    model.name = model.name or name
    return model


def _file(name: str, models: Collection[str]) -> Path:
    """The file that a name stands for which is no model's of this list."""
    if name.startswith("hf:"):
        match = HUB.fullmatch(name)
        if match is None:
            raise ZooError(
                f"{name!r} names no model on the Hub; write hf:user/name, then @revision and :file.safetensors if you wish"
            )
        return _from_hub(match, match[3] or HUB_FILE)
    if os.path.isfile(name):
        return Path(name)
    if os.path.isdir(name):
        raise ZooError(f"{name} is a folder; give the file of a model in it, such as {os.path.join(name, 'model.safetensors')}")
    names = ", ".join([*models, *PUBLISHED])
    raise ZooError(f"there is no model {name!r}{unfilled(name)}; give a model file, hf:user/name on the Hub, or one of {names}")


def _fan(path: Path) -> FAN:
    return published.load_fan(path) if path.is_file() and is_checkpoint(path) else checkpoint.load_fan(path)


def _lent_fan(path: Path) -> tuple[FAN, str]:
    """A FAN for a checkpoint that has masks, but none of its own, and a sentence on whose it is."""
    beside = path.with_name("model.safetensors")
    if beside != path and beside.is_file() and checkpoint.is_ours(beside) and (fan := checkpoint.load(beside).fan) is not None:
        return fan, f"its masks come from the FAN of {beside.name} beside it"
    for entry in PUBLISHED.values():
        if entry.fan is not None and (wing := entry.folder / entry.fan.name).is_file():
            return published.load_fan(wing), f"its masks come from the FAN of {entry.name}, which had been downloaded"
    return load_fan68(), "its masks come from the bundled FAN, as it brings none; give its own by --wing wing.ckpt"


def _published(entry: Entry, accept_licence: bool, progress: Progress | None) -> Model:
    def fetch(file: File) -> Path:
        target = entry.folder / file.name
        if not accept_licence and not target.is_file():
            raise LicenceNotAccepted(entry)
        return download(file.address, target, file.sha256, file.size, progress)

    path = fetch(entry.model)
    try:
        model = published.load(path, entry.domains, entry.w_hpf)
        if model.fan is None and entry.fan is not None:
            model.fan = published.load_fan(fetch(entry.fan))
    except CheckpointError as error:
        raise ZooError(f"{error}; remove {entry.folder}, so that it is downloaded anew") from None
    model.name, model.licence = entry.name, entry.licence
    return model


class _NoFile(ZooError):
    """A repository on the Hub without that file."""


def _from_hub(match: re.Match[str], file: str) -> Path:
    """A file of the repository that `HUB` has found."""
    # Slow to import, and needed for these names only.
    from huggingface_hub import errors, hf_hub_download
    from huggingface_hub.utils import logging

    if "HF_HUB_VERBOSITY" not in os.environ:
        logging.set_verbosity_error()  # what it would log of attempts that fail is in the sentence
    repository, revision = match[1], match[2]
    page = f"https://huggingface.co/{repository}"
    try:
        return Path(hf_hub_download(repository, file, revision=revision))
    except errors.GatedRepoError:
        raise ZooError(f"{repository} is gated; ask for access on {page} and log in with `hf auth login`") from None
    except errors.RepositoryNotFoundError:
        raise ZooError(f"the Hub shows no repository {repository}; correct the name, or log in with `hf auth login`") from None
    except errors.RevisionNotFoundError:
        raise ZooError(f"{repository} has no revision {revision!r}; choose one that {page} shows") from None
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled):
        raise ZooError(f"{repository} is not here, and the Hub cannot be reached; connect to the network and try again") from None
    except errors.EntryNotFoundError:
        raise _NoFile(f"{repository} has no file {file}; name another one, as in hf:{repository}:file.safetensors") from None
    except errors.HFValidationError:
        raise ZooError(f"{repository!r} cannot be the name of a repository; copy it from its page on the Hub") from None
    except Exception as error:  # The Hub's client is built on other HTTP libraries in other versions.
        reason = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        raise ZooError(f"{repository} could not be fetched from the Hub ({reason.rstrip('.')}); try again later") from None
