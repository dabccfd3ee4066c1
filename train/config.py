"""The one dataclass that a run's YAML is read into."""

from __future__ import annotations

import csv
import dataclasses
import difflib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stargan.networks import ModelConfig


class ConfigError(ValueError):
    """A configuration that cannot be used; the sentence names the key."""


class TrainingError(ValueError):
    """A run that cannot go on; the sentence says why and what to do."""


PLACES = ("data", "runs", "init_from", "init_wing")  # in which ~ stands for the home folder
NAMES = ("domains", "sources", "init_domains")
KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", tuple: "a list, such as [a, b]"}
# Where the algorithm is the paper's.
PAPER = {
    "alternate": False,
    "r1_every": 1,
    "cyc_every": 1,
    "diff_augment": False,
    "ema_warmup": False,
    "clip": 0.0,
    "ds_floor": 0.0,
    "lr_decay": 0,
    "lambda_con": 0.0,
    "lambda_mis": 0.0,
    "lambda_proj": 0.0,
    "last_shortcut": False,
    "lambda_lmk": 0.0,
    "likeness": False,
    "subsampled_chroma": False,
    "discriminator_lr": 0.0,
    "sources": (),
}
# What settings have to be, whether a number is that, and which settings these are.
RANGES: tuple[tuple[str, Callable[[float], bool], tuple[str, ...]], ...] = (
    ("at least 1", lambda v: v >= 1, ("batch", "accumulate", "r1_every", "cyc_every", "keep")),
    ("at least 1", lambda v: v >= 1, ("iterations", "ds_iterations", "save_every", "sample_every", "log_every")),
    ("0 (never) or above", lambda v: v >= 0, ("evaluate_every", "lr_decay")),
    ("0 (no limit) or above", lambda v: v >= 0, ("minutes",)),
    ("0 (off) or above", lambda v: v >= 0, ("lambda_con", "lambda_lmk", "lambda_mis", "lambda_proj", "clip")),
    ("0 (as lr) or above", lambda v: v >= 0, ("discriminator_lr",)),
    ("0 or above", lambda v: v >= 0, ("lr", "mapping_lr", "weight_decay", "ds_floor", "discriminator_warmup")),
    ("0 or above", lambda v: v >= 0, ("lambda_r1", "lambda_sty", "lambda_ds", "lambda_cyc")),
    ("0 or above, and below 2**63", lambda v: 0 <= v < 2**63, ("seed",)),
    ("above 0 and below 1", lambda v: 0 < v < 1, ("source_share",)),
    ("0 or above, and below 1", lambda v: 0 <= v < 1, ("ema",)),
    ("two numbers of 0 or above, and below 1", lambda v: 0 <= v < 1, ("betas",)),
    ("between 0 and 1", lambda v: 0 <= v <= 1, ("augment_colour",)),
)


@dataclass(frozen=True)
class TrainConfig:
    """A run. Fields without a comment mean what they mean in the paper (arXiv 1912.01865, appendix B)."""

    name: str = "unnamed"
    data: str = "data"  # holds train/<domain>/* and val/<domain>/*
    runs: str = "runs"  # checkpoints, samples and caches go to runs/<name>
    domains: tuple[str, ...] = ()  # folders of train/ in the order of the branches; none: all of them, by name
    # Folders whose pictures are translated but never imitated: drawn as sources, never as targets or references.
    sources: tuple[str, ...] = ()
    source_share: float = 0.5  # of a batch's sources that are drawn from them
    image_size: int = 256
    base_channels: int = 0  # 0: 2**14 / image_size
    max_channels: int = 512
    style_dim: int = 64
    latent_dim: int = 16
    hidden_dim: int = 512  # of the mapping network
    w_hpf: float = 1.0  # 0: no masks; above, masks come from the bundled 68-point FAN
    subsampled_chroma: bool = False  # colour at half the resolution of brightness, as it is in most files
    last_shortcut: bool = False  # the decoder's last block has a shortcut: what a smaller model is best grown with

    iterations: int = 100_000
    minutes: float = 0.0  # stop after that much time in this call; 0: no limit
    batch: int = 8
    lr: float = 1e-4
    mapping_lr: float = 1e-6
    discriminator_lr: float = 0.0  # 0: as lr; above it, the judge keeps ahead of what it judges (arXiv 1706.08500)
    lr_decay: int = 0  # iterations at the end of the run over which all rates fall linearly to zero
    betas: tuple[float, float] = (0.0, 0.99)
    weight_decay: float = 1e-4
    lambda_r1: float = 1.0
    lambda_sty: float = 1.0
    lambda_ds: float = 1.0
    lambda_cyc: float = 1.0
    lambda_con: float = 0.0  # content loss between source and output (train/step/content.py); departs from the paper
    likeness: bool = False  # train a free and a faithful generator, and all between them, at once (train/step/line.py)
    lambda_con_free: float = 0.0  # with likeness: the weight of the content loss at likeness 0, as lambda_con is at 1
    lambda_lmk: float = 0.0  # landmark loss between source and output (train/step/losses.py)
    lambda_mis: float = 0.0  # matching-aware discriminator: a real picture of another domain is a fake to a branch
    lambda_proj: float = 0.0  # a second discriminator, on features of a network trained on photographs (train/step/projected.py)
    con_weights: tuple[float, ...] = ()  # of the content loss, one for each domain that is asked for; none: 1 for all
    con_box: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)  # what of the pictures it compares: left, top, right, bottom
    con_face: bool = False  # of that, next to nothing but the face, where the FAN sees it; what lies beside a turned one is free
    ds_iterations: int = 100_000  # over which lambda_ds falls to ds_floor
    ds_floor: float = 0.0
    ema: float = 0.999
    ema_warmup: bool = False  # averages over fewer iterations at the start

    # A model (a name, a .safetensors or a published .ckpt) whose weights the run starts with; its discriminator too, where it lies
    # beside it. One of half the side and twice the width is grown first (train/step/growth.py).
    init_from: str = ""
    init_domains: tuple[str, ...] = ()  # names for the domains of that model, in its order; published checkpoints have none
    init_wing: str = ""  # the file of its FAN, where it has masks and no FAN of its own
    discriminator_warmup: int = 200  # with init_from: iterations in which only the discriminator learns

    exact: bool = False  # refuse whatever departs from the paper's algorithm
    alternate: bool = False  # latent- and reference-guided updates in turn instead of both in an iteration
    r1_every: int = 1  # lazy R1: every k-th discriminator update, k times as heavy
    cyc_every: int = 1  # lazy cycle: every k-th generator update, k times as heavy; takes a third off an iteration's time
    diff_augment: bool = False  # colour and translation, on what the discriminator sees
    augment_colour: float = 1.0  # strength of the colour part; outputs may stay greyer than the data where it is full
    clip: float = 0.0  # the largest norm of a gradient; 0: any (steps that are not finite are left out in any case)
    accumulate: int = 1  # parts that a batch is worked on in, to save memory
    precision: str = "auto"  # bf16 where that is faster, or fp32; a run stays with what it began with
    device: str = "auto"  # or cpu
    seed: int = 0

    save_every: int = 500
    sample_every: int = 250
    evaluate_every: int = 0  # iterations between short evaluations, by which the best checkpoint is kept; 0: none
    log_every: int = 25
    keep: int = 2  # checkpoints
    licence: str = ""  # of the weights, written into the exported model

    def __post_init__(self) -> None:
        if self.precision not in ("auto", "bf16", "fp32"):
            raise ConfigError(f"precision is {self.precision!r}; it has to be auto, bf16 or fp32")
        if self.device not in ("auto", "cpu"):
            raise ConfigError(f"device is {self.device!r}; it has to be auto or cpu")
        if self.name in ("", ".", "..") or any(mark in self.name for mark in "/\\\0"):
            raise ConfigError(f"name is {self.name!r}; it has to be the name of a folder to make in {self.runs}, without slashes")
        self._check_ranges()
        if both := [d for d in self.sources if d in self.domains]:
            raise ConfigError(f"{', '.join(both)}: in domains and in sources; a source-only domain is never a target, name it once")
        if len(set(self.sources)) != len(self.sources):
            raise ConfigError(f"sources are {list(self.sources)}; name each once")
        self._check_content()
        if self.exact and (changed := [k for k, v in PAPER.items() if getattr(self, k) != v]):
            raise ConfigError(f"exact is true, but {', '.join(changed)} depart from the paper; leave one or the other out")

    def _check_ranges(self) -> None:
        for name, value in vars(self).items():
            if any(isinstance(v, float) and not math.isfinite(v) for v in _numbers(value)):
                raise ConfigError(f"{name} is {_written(value)}; nothing but finite numbers can be used")
        for wanted, is_so, names in RANGES:
            for name in names:
                value = getattr(self, name)
                if not all(map(is_so, _numbers(value))):
                    raise ConfigError(f"{name} is {_written(value)}; it has to be {wanted}")

    def _check_content(self) -> None:
        """What the losses of content and landmarks need."""
        left, top, right, bottom = self.con_box
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ConfigError(f"con_box is {list(self.con_box)}; it has to be left, top, right and bottom as fractions from 0 to 1")
        if self.con_weights and (min(self.con_weights) < 0 or len(self.con_weights) != len(self.domains)):
            raise ConfigError(
                f"con_weights are {list(self.con_weights)}; there has to be one of 0 or above for each of the domains, which have "
                "to be named then, too"
            )
        if self.lambda_lmk and not self.w_hpf:
            raise ConfigError("lambda_lmk compares what the FAN of a model with masks finds; set w_hpf above 0, or lambda_lmk to 0")
        if self.con_face and not (self.w_hpf and self.lambda_con):
            raise ConfigError(
                "con_face is for the content loss of a model with masks, whose FAN sees the face; set w_hpf and lambda_con above "
                "0, or con_face to false"
            )
        if self.likeness and not 0 <= self.lambda_con_free < self.lambda_con:
            raise ConfigError(
                f"likeness trains generators with more and with less of the content loss, but lambda_con is {self.lambda_con} and "
                f"lambda_con_free {self.lambda_con_free}; set lambda_con above lambda_con_free, and that to 0 or above"
            )

    @property
    def folder(self) -> Path:
        return Path(self.runs) / self.name

    @property
    def model(self) -> ModelConfig:
        """The networks as they are trained: a branch for each domain, then one for each source-only domain."""
        return ModelConfig(
            image_size=self.image_size,
            domains=self.domains + self.sources,
            w_hpf=self.w_hpf,
            base_channels=self.base_channels,
            max_channels=self.max_channels,
            style_dim=self.style_dim,
            latent_dim=self.latent_dim,
            hidden_dim=self.hidden_dim,
            last_shortcut=self.last_shortcut,
            subsampled_chroma=self.subsampled_chroma,
        )


def _numbers(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _written(value: Any) -> str:
    return str(list(value) if isinstance(value, tuple) else value)


def _typed(key: str, value: Any, default: Any) -> Any:
    """The value in the type of the field's default, or ConfigError."""
    wanted = type(default)
    if wanted is float and type(value) is int:
        return float(value)
    # YAML reads 1e-4, without a point, as a string.
    if wanted is float and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    if wanted is tuple and isinstance(value, list):
        value = tuple(value)
    if type(value) is not wanted:
        example = f", such as {default!r}" * (wanted in (int, float))
        raise ConfigError(f"{key} is {value!r}; it has to be {KINDS[wanted]}{example}")
    if key in NAMES and not all(isinstance(v, str) for v in value):
        raise ConfigError(f"{key} is {list(value)!r}; it has to be a list of folder names")
    if key in ("betas", "con_box") and (len(value) != len(default) or not all(isinstance(v, int | float) for v in value)):
        raise ConfigError(f"{key} is {list(value)!r}; it has to be {len(default)} numbers")
    if key == "con_weights" and not all(isinstance(v, int | float) for v in value):
        raise ConfigError(f"{key} are {list(value)!r}; they have to be numbers")
    return value


def from_mapping(values: Mapping[str, Any]) -> TrainConfig:
    """A TrainConfig of these values; ConfigError names an unknown key with the nearest right one, or an ill-typed value."""
    defaults = {f.name: f.default for f in dataclasses.fields(TrainConfig)}
    for key in values:
        if key not in defaults:
            near = difflib.get_close_matches(str(key), defaults, 1)
            raise ConfigError(f"there is no setting {key!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return TrainConfig(**{k: _typed(k, v, defaults[k]) for k, v in values.items()})


def _meant(key: str, text: str) -> Any:
    """What a text stands for in the type of that field: `no` is a name where names belong, 001 a text where a text belongs. A text
    that is of another type is left as it is."""
    default = {f.name: f.default for f in dataclasses.fields(TrainConfig)}.get(key)
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    if key in PLACES:
        return os.path.expanduser(text)
    if isinstance(default, bool):
        return {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}.get(text.lower(), text)
    if isinstance(default, int | float):
        try:
            if isinstance(default, int) and text.lstrip("+-").isdecimal():
                return int(text)  # of a large one, float would drop the last digits
            number = float(text)
            return int(number) if isinstance(default, int) and number.is_integer() else number
        except (ValueError, OverflowError):
            return text
    if isinstance(default, tuple):
        inner = text[1:-1] if text[:1] + text[-1:] in ("[]", "()") else text
        items = next(csv.reader([inner.replace("'", '"')], skipinitialspace=True), [])
        return _items(key, [item.strip() for item in items if item.strip()])
    return text


def _items(key: str, items: Sequence[Any]) -> list[Any]:
    return list(items) if key in NAMES else [_number(item) for item in items]


def _number(item: Any) -> Any:
    try:
        return float(item)
    except (TypeError, ValueError):
        return item


def read(path: Path | str, changes: Sequence[str] = (), **further: Any) -> TrainConfig:
    """The configuration in a YAML file, with `key=value` changes on top, and further values on top of these; ConfigError where any
    of them is wrong. What is written is taken in the type of its field, not in the one that YAML would guess."""
    try:
        # All scalars are texts to this loader.
        values = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=yaml.BaseLoader)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read as YAML: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds no settings; write one `key: value` a line")
    for change in changes:
        key, equals, value = change.partition("=")
        if not equals:
            raise ConfigError(f"--set {change} has no '='; write --set key=value")
        values[key.strip()] = value
    meant = {
        key: _meant(key, value) if isinstance(value, str) else _items(key, value) if isinstance(value, list) else value
        for key, value in values.items()
    }
    return from_mapping(meant | further)
