"""The training loop: read it from `fit` downwards."""

from __future__ import annotations

import contextlib
import copy
import ctypes
import dataclasses
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor, nn
from tqdm import tqdm

from stargan import zoo
from stargan.faces.landmarks import load_fan68
from stargan.faces.masks import face_masks
from stargan.fan import FAN
from stargan.files import checkpoint, whole
from stargan.model import Model
from stargan.networks import Discriminator, Generator, MappingNetwork, ModelConfig, StyleEncoder
from train import data, growth, losses
from train.augment import NUMBERS, diff_augment
from train.config import ConfigError, TrainConfig
from train.content import ContentLoss
from train.records import Records, TrainingError, alone, resume, save

Masks = tuple[Tensor, Tensor]
BAD_STEPS = 10  # in a row, after which a run gives up


@dataclass(frozen=True)
class Batch:
    """What one iteration sees: sources of domain y_org, two references of domain y_trg, two latents, and the random numbers
    of the augmentation. Source-only domains occur in y_org alone."""

    x_real: Tensor  # (N, 3, S, S) in [-1, 1], as the references
    y_org: Tensor  # (N,) long
    x_ref: Tensor
    x_ref2: Tensor
    y_trg: Tensor
    z: Tensor  # (N, latent_dim)
    z2: Tensor
    noise: Tensor  # (N, 2 kinds, 3 uses, augment.NUMBERS) in [0, 1)

    def split(self, parts: int) -> list[Batch]:
        """Equal parts, in order."""
        columns = [getattr(self, f.name).chunk(parts) for f in dataclasses.fields(self)]
        return [Batch(*column) for column in zip(*columns, strict=True)]

    def to(self, device: torch.device) -> Batch:
        return Batch(*(getattr(self, f.name).to(device, non_blocking=True) for f in dataclasses.fields(self)))


class State:
    """Networks, their averages, and optimisers: all that changes while a run goes on.

    Random numbers come from the seed and the iteration alone, so there is no generator whose state would have to be kept.
    Several processes, as `accelerate launch` starts them, hold equal states: each takes its share of a batch, and gradients
    are averaged before a step. They are averaged here rather than by DistributedDataParallel, which does not know the double
    backward pass of R1, nor backward passes that are meant for some of the networks only.
    """

    def __init__(self, config: TrainConfig, fan: FAN | None) -> None:
        model = config.model
        self.config = config
        # Without being told, accelerate takes several processes on a machine without a GPU for single ones.
        on_cpu = config.device == "cpu" or (int(os.environ.get("WORLD_SIZE", 1)) > 1 and not torch.cuda.is_available())
        self.processes = PartialState(cpu=on_cpu)
        self.device = torch.device("cpu") if on_cpu else self.processes.device
        ready: Any = {"device": self.device, "memory_format": torch.channels_last}
        self.fan = copy.deepcopy(fan).to(**ready) if fan is not None and config.w_hpf > 0 else None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.generator = Generator(model)
            self.mapping_network = MappingNetwork(model)
            self.style_encoder = StyleEncoder(model)
            self.discriminator = Discriminator(model)
            for net in self.networks.values():
                initialize(net)
                net.to(**ready)
        self.content = ContentLoss(config.con_box).to(**ready) if config.lambda_con else None
        self.averaged = {k: copy.deepcopy(net).requires_grad_(False) for k, net in self.networks.items() if k != "discriminator"}
        self.optimisers = {
            name: torch.optim.Adam(
                net.parameters(),
                lr=config.mapping_lr if name == "mapping_network" else config.lr,
                betas=config.betas,
                weight_decay=config.weight_decay,
                fused=self.device.type in ("cpu", "cuda"),
            )
            for name, net in self.networks.items()
        }
        self.iteration = 0
        self.bad_steps = 0  # in a row
        self.best: dict[str, float] = {}  # iteration and score of the best evaluation so far

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {
            "generator": self.generator,
            "mapping_network": self.mapping_network,
            "style_encoder": self.style_encoder,
            "discriminator": self.discriminator,
        }

    @property
    def lambda_ds(self) -> float:
        """The weight of the diversity loss, falling linearly from lambda_ds to ds_floor over ds_iterations."""
        c = self.config
        return c.ds_floor + (c.lambda_ds - c.ds_floor) * max(0.0, 1 - self.iteration / c.ds_iterations)

    def set_rates(self) -> None:
        """Gives the optimisers this iteration's learning rates: those of the configuration, less towards the end of the run."""
        c = self.config
        share = min(1.0, max(0.0, (c.iterations - self.iteration) / c.lr_decay)) if c.lr_decay else 1.0
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = optimiser.defaults["lr"] * share

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16")

    def masks(self, image: Tensor) -> Masks | None:
        """The masks of these images, without gradient; None for a model without skips."""
        if self.fan is None:
            return None
        with torch.no_grad():
            return face_masks(self.fan(image))

    def model(self, name: str) -> Model:
        """The averaged networks, as inference uses them, without the branches of source-only domains; they share memory with this
        state."""
        config = dataclasses.replace(self.config.model, domains=self.config.domains)
        nets: dict[str, Any] = {key: _without_sources(net, config) for key, net in self.averaged.items()}
        return Model(config=config, fan=self.fan, name=name, licence=self.config.licence, **nets)

    def judge(self) -> Discriminator:
        """The discriminator without the branches of source-only domains; it shares memory with this state."""
        return _without_sources(self.discriminator, dataclasses.replace(self.config.model, domains=self.config.domains))


def _without_sources(net: Any, config: ModelConfig) -> Any:
    """A network of that configuration, which has fewer domains, on the memory of one with more."""
    with torch.device("meta"):
        short = type(net)(config)
    values = net.state_dict()
    # A discriminator's branches are the first channels of one layer.
    values = {k: values[k][: len(v)] if v.shape != values[k].shape else values[k] for k, v in short.state_dict().items()}
    short.load_state_dict(values, assign=True)
    return short.eval().requires_grad_(False)


def initialize(net: nn.Module) -> None:
    """He initialisation (arXiv 1502.01852) of convolutions and linear layers, biases at zero."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def check_shape(config: TrainConfig, model: Model) -> None:
    """ConfigError where a run can neither start with the weights of this model nor with what it grows into."""
    wanted, found = config.model, model.config
    if growth.can_grow(found, wanted):
        return
    differing = [
        f.name
        for f in dataclasses.fields(wanted)
        if f.name not in ("domains", "mask_sizes") and getattr(wanted, f.name) != getattr(found, f.name)
    ]
    if differing:
        changes = " ".join(f"--set {k}={getattr(found, k)}" for k in differing)
        grown = f"--set image_size={2 * found.image_size} --set base_channels={found.base_channels // 2}"
        raise ConfigError(
            f"{model.name or 'the model'} to start from has another shape than this run; make them alike: {changes}; or, to grow "
            f"it to twice its side, change only these: {grown}"
        )


def begin(state: State, model: Model, discriminator: Path | None, pictures: data.Pictures) -> str:
    """Starts a run with the weights of a model, grown first where it is half as large, and with those of the discriminator that
    lies in that file. Returns a sentence on what became of the domains."""
    config = state.config
    check_shape(config, model)
    if growth.can_grow(model.config, config.model):
        model = growth.grow(model, config.model, pictures, config.seed)
    for name in state.averaged:
        _take_over(state.networks[name], getattr(model, name), config.model.domains, model.config.domains)
        state.averaged[name].load_state_dict(state.networks[name].state_dict())
    known = [d for d in config.model.domains if d in model.config.domains]
    new = [d for d in config.model.domains if d not in known]
    words = [f"{', '.join(known)} as in {model.name}"] * bool(known) + [f"{', '.join(new)} from the mean of all"] * bool(new)
    if discriminator is None:
        return "; ".join([*words, "the discriminator untrained"])
    judge, judged = checkpoint.load_discriminator(discriminator)
    if growth.can_grow(judged, config.model):
        judge = growth.grow_discriminator(judge, config.model, pictures, config.seed)
    elif dataclasses.replace(judged, domains=config.model.domains, mask_sizes=config.model.mask_sizes) != config.model:
        return "; ".join([*words, f"the discriminator untrained, as {discriminator.name} is of another shape"])
    _take_over(state.discriminator, judge, config.model.domains, judged.domains)
    return "; ".join([*words, f"the discriminator as in {discriminator.name}"])


@torch.no_grad()
def _take_over(net: nn.Module, other: nn.Module, domains: Sequence[str], known: Sequence[str]) -> None:
    """Copies the parameters of a network of other domains: a domain that it knows by name keeps its branch, the branch of a new one
    starts as the mean of all."""
    values, own = other.state_dict(), net.state_dict()
    last = f"main.{len(net.main) - 1}." if isinstance(net, Discriminator) else ""
    origins = [[known.index(d)] if d in known else list(range(len(known))) for d in domains]
    for key, value in own.items():
        if key.startswith("unshared."):
            _, branch, rest = key.split(".", 2)
            value.copy_(torch.stack([values[f"unshared.{i}.{rest}"] for i in origins[int(branch)]]).mean(0))
        elif last and key.startswith(last):
            value.copy_(torch.stack([values[key][old].mean(0) for old in origins]))
        else:
            value.copy_(values[key])


@dataclass
class Fake:
    """A translated batch, kept with what a second style of the same source needs."""

    style: Tensor
    image: Tensor
    features: Tensor
    skips: dict[int, Tensor] | None


KINDS = ("latent", "ref")


def _style(state: State, batch: Batch, kind: str, second: bool = False) -> Tensor:
    """The style that a kind of guidance asks for; only the mapping network is trained through it."""
    if kind == "latent":
        return state.mapping_network(batch.z2 if second else batch.z, batch.y_trg)
    with torch.no_grad():
        return state.style_encoder(batch.x_ref2 if second else batch.x_ref, batch.y_trg)


def translate(state: State, x: Tensor, style: Tensor, masks: Masks | None) -> Fake:
    features, kept = state.generator.features(x)
    skips = state.generator.skips(kept, masks) if masks is not None else None
    return Fake(style, state.generator.synthesize(features, style, skips).float(), features, skips)


def _augment(state: State, x: Tensor, batch: Batch, kind: str, use: int) -> Tensor:
    c = state.config
    return diff_augment(x, batch.noise[:, KINDS.index(kind), use], c.augment_colour) if c.diff_augment else x


def discriminator_loss(state: State, batch: Batch, image: Tensor, kind: str, with_r1: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """Equation 1 for the discriminator, and R1 on real pictures. image (N, 3, S, S) comes from the generator, cut off from it."""
    c = state.config
    with state.autocast():
        logits = state.discriminator(_augment(state, image, batch, kind, 0), batch.y_trg)
    fake = losses.adversarial(logits.float(), real=False)
    # What is never a target needs no judge: a reference stands in for it.
    imitated = batch.y_org < len(c.domains)
    x_real = torch.where(imitated[:, None, None, None], batch.x_real, batch.x_ref) if c.sources else batch.x_real
    y_real = torch.where(imitated, batch.y_org, batch.y_trg)
    x_real = _augment(state, x_real, batch, kind, 1)
    if with_r1:
        x_real = x_real.detach().requires_grad_()
        logits = state.discriminator(x_real, y_real)  # in float32: a gradient of a gradient needs it
        penalty = losses.r1(logits, x_real)
    else:
        with state.autocast():
            logits = state.discriminator(x_real, y_real).float()
        penalty = torch.zeros((), device=state.device)
    real = losses.adversarial(logits, real=True)
    loss = real + fake + c.lambda_r1 * c.r1_every * penalty
    return loss, {"real": real, "fake": fake} | ({"reg": penalty} if with_r1 else {})


def generator_loss(state: State, batch: Batch, fake: Fake, kind: str) -> tuple[Tensor, dict[str, Tensor]]:
    """Equation 5: adversarial, style, diversity and cycle losses; and the content loss, where it has a weight."""
    c = state.config
    with state.autocast():
        logits = state.discriminator(_augment(state, fake.image, batch, kind, 2), batch.y_trg)
        adv = losses.adversarial(logits.float(), real=True)
        sty = losses.style_reconstruction(fake.style.float(), state.style_encoder(fake.image, batch.y_trg).float())
        with torch.no_grad():
            other = state.generator.synthesize(fake.features, _style(state, batch, kind, second=True), fake.skips).float()
        ds = losses.diversity(fake.image, other)
        # The style encoder learns from latent-guided updates only.
        with torch.set_grad_enabled(kind == "latent"):
            back_style = state.style_encoder(batch.x_real, batch.y_org)
        back = translate(state, fake.image, back_style, state.masks(fake.image))
        cyc = losses.cycle(batch.x_real, back.image)
        con = state.content(batch.x_real, fake.image) if state.content is not None else None
    loss = adv + c.lambda_sty * sty - state.lambda_ds * ds + c.lambda_cyc * cyc
    log = {"adv": adv, "sty": sty, "ds": ds, "cyc": cyc}
    return (loss, log) if con is None else (loss + c.lambda_con * con, log | {"con": con})


def _step(state: State, names: tuple[str, ...], parts: Iterable[tuple[Tensor, dict[str, Tensor]]]) -> dict[str, Tensor]:
    """One step of these networks along the mean gradient of the losses of all parts of the batch, in all processes. A step
    whose gradient is not finite is left out. Returns the losses, averaged."""
    c = state.config
    parameters = [p for name in names for p in state.networks[name].parameters()]
    for p in parameters:
        p.grad = None
    log: dict[str, Tensor] = {}
    for loss, found in parts:
        # Only these networks get gradients; the others are merely passed through.
        (loss / c.accumulate).backward(inputs=parameters)
        log = {k: log.get(k, 0) + v.detach() / c.accumulate for k, v in found.items()}
    gradients = [p.grad for p in parameters if p.grad is not None]
    if state.processes.num_processes > 1:
        together = reduce(torch.cat([g.reshape(-1) for g in gradients] + [v.reshape(1) for v in log.values()]), "mean")
        shares = together.split([g.numel() for g in gradients] + [1] * len(log))
        for g, share in zip(gradients, shares, strict=False):
            g.copy_(share.view_as(g))
        log = {k: share[0] for k, share in zip(log, shares[len(gradients) :], strict=True)}
    norm = torch.nn.utils.get_total_norm(gradients)
    if not norm.isfinite():
        state.bad_steps += 1
        if state.bad_steps == BAD_STEPS:
            raise TrainingError(
                f"the gradients of {' and '.join(names)} have not been finite {BAD_STEPS} times in a row, now at iteration "
                f"{state.iteration}; lower lr, or set clip to 10 or less, and call fit again: it continues from the last checkpoint"
            )
        return log
    state.bad_steps = 0
    if c.clip > 0:
        torch.nn.utils.clip_grads_with_norm_(parameters, c.clip, norm)
    for name in names:
        state.optimisers[name].step()
    return log


def iterate(state: State, batch: Batch) -> dict[str, Tensor]:
    """One iteration on this process's share of the batch: discriminator and generator updates, latent- and reference-guided
    (or one kind, in turn), the averages, the weight of the diversity loss. Returns the losses, without gradient."""
    c = state.config
    state.set_rates()
    kinds = (KINDS[state.iteration % 2],) if c.alternate else KINDS
    # In turn, latent- and reference-guided updates both take their share of R1.
    with_r1 = (state.iteration // (2 if c.alternate else 1)) % c.r1_every == 0
    warming_up = bool(c.init_from) and state.iteration < c.discriminator_warmup
    chunks = batch.split(c.accumulate)
    # The generator does not change between the discriminator's update and its own first one, so one forward pass serves both,
    # and its encoder's part the other kind as well; but not where the graphs of all parts would have to wait in memory.
    shared = c.accumulate == 1 and not warming_up
    with state.autocast():
        masks = [state.masks(chunk.x_real) for chunk in chunks]
        with torch.set_grad_enabled(shared):
            first = [
                translate(state, chunk.x_real, _style(state, chunk, kinds[0]), m) for chunk, m in zip(chunks, masks, strict=True)
            ]

    def real_or_fake(kind: str) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        for chunk, fake in zip(chunks, first, strict=True):
            image = fake.image.detach()
            if kind != kinds[0]:
                with torch.no_grad(), state.autocast():
                    image = state.generator.synthesize(fake.features, _style(state, chunk, kind), fake.skips).float()
            yield discriminator_loss(state, chunk, image, kind, with_r1)

    def translated(kind: str) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        for chunk, fake, m in zip(chunks, first, masks, strict=True):
            if not shared or kind != kinds[0]:
                with state.autocast():
                    fake = translate(state, chunk.x_real, _style(state, chunk, kind), m)
            yield generator_loss(state, chunk, fake, kind)

    log: dict[str, Tensor] = {}
    for kind in kinds:
        found = _step(state, ("discriminator",), real_or_fake(kind))
        log |= {f"D/{kind}_{k}": v for k, v in found.items()}
    for kind in () if warming_up else kinds:
        trained = ("generator", "mapping_network", "style_encoder") if kind == "latent" else ("generator",)
        found = _step(state, trained, translated(kind))
        log |= {f"G/{kind}_{k}": v for k, v in found.items()}
    update_averages(state)
    state.iteration += 1
    return log | {"G/lambda_ds": torch.tensor(state.lambda_ds)}


@torch.no_grad()
def update_averages(state: State) -> None:
    """Exponential moving averages of the parameters; with warm-up, over the run so far while that is short."""
    i, decay = state.iteration, state.config.ema
    if state.config.ema_warmup:
        decay = min(decay, (1 + i) / (10 + i))
    for name, average in state.averaged.items():
        torch._foreach_lerp_(list(average.parameters()), list(state.networks[name].parameters()), 1 - decay)


def sample_batch(config: TrainConfig, pictures: data.Pictures, iteration: int, process: int = 0, processes: int = 1) -> Batch:
    """The batch of an iteration, or a process's share of it: it depends on the seed and the iteration alone, so a resumed run
    sees the same pictures."""
    rng = np.random.default_rng([config.seed, iteration])
    targets = len(config.domains)
    y_org, source = data.balanced(pictures, config.batch, rng, high=targets)
    y_trg, first, second = data.pairs(pictures, config.batch, rng, high=targets)
    if config.sources:
        y_only, only = data.balanced(pictures, config.batch, rng, low=targets)
        # As many as the share says, the rest by chance; spread over the batch, so that its parts are alike.
        taken = rng.permutation(config.batch) + rng.random() < config.source_share * config.batch
        y_org, source = np.where(taken, y_only, y_org), np.where(taken, only, source)
    boxes = torch.from_numpy(data.random_boxes(3 * config.batch, rng)).view(3, config.batch, 2, 3)
    z, z2 = torch.from_numpy(rng.standard_normal((2, config.batch, config.model.latent_dim), dtype=np.float32))
    noise = torch.from_numpy(rng.random((config.batch, len(KINDS), 3, NUMBERS), dtype=np.float32))
    share = slice(process * config.batch // processes, (process + 1) * config.batch // processes)

    def cropped(index: np.ndarray, box: Tensor) -> Tensor:
        x = data.warp(pictures.batch(index[share]), box[share], config.image_size)
        return x.contiguous(memory_format=torch.channels_last)

    x_real, x_ref, x_ref2 = (cropped(i, b) for i, b in zip((source, first, second), boxes, strict=True))
    y = [torch.from_numpy(d[share]) for d in (y_org, y_trg)]
    return Batch(x_real, y[0], x_ref, x_ref2, y[1], z[share], z2[share], noise[share])


def batches(state: State, pictures: data.Pictures) -> Iterator[Batch]:
    """The batches from this iteration on, each prepared while the one before is worked on."""
    p = state.processes
    with ThreadPoolExecutor(1) as pool:

        def later(iteration: int) -> Future[Batch]:
            return pool.submit(sample_batch, state.config, pictures, iteration, p.process_index, p.num_processes)

        waiting = later(state.iteration)
        for i in itertools.count(state.iteration + 1):
            batch, waiting = waiting, later(i)
            yield batch.result().to(state.device)


def keep_freed_memory() -> None:
    """Asks glibc to keep large freed blocks instead of returning them: their pages would be zeroed anew at every step."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no separate mapping for large blocks
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: never shrink the heap
    except (OSError, AttributeError):
        return  # another C library: only speed is lost


@contextlib.contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set `stop` meanwhile, where this is the main thread (others cannot have handlers)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def fit(
    config: TrainConfig,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
    stop: threading.Event | None = None,
) -> State:
    """Trains until `iterations`, or until `minutes` are over, `stop` is set, or SIGTERM or SIGINT comes; saves before it returns.

    A run that is already in `runs/<name>` is continued. on_step is given the iteration and its losses, in the first process.
    Errors, all ValueErrors: data.DataError for the pictures, ConfigError for settings that do not fit each other, CheckpointError
    for a checkpoint of another shape, TrainingError for losses that are not finite and for a full disk.
    """
    keep_freed_memory()
    stop = stop or threading.Event()
    if not config.domains:
        folders = data.folders(Path(config.data) / "train")
        config = dataclasses.replace(config, domains=tuple(d for d in folders if d not in config.sources))
    folder = config.folder
    origin = zoo.load(config.init_from) if config.init_from else None
    if origin is not None:
        check_shape(config, origin)
        config = dataclasses.replace(config, licence=config.licence or origin.licence)
    state = State(config, (origin and origin.fan) or (load_fan68() if config.w_hpf > 0 else None))
    first = state.processes.is_main_process
    if config.batch % (config.accumulate * state.processes.num_processes):
        raise ConfigError(
            f"batch is {config.batch}; it has to be a multiple of accumulate ({config.accumulate}) times the number of processes "
            f"({state.processes.num_processes})"
        )
    # Room for the crop to be cut from, a quarter more than the crop itself. The first process fills the cache for the others.
    side, cache = config.image_size * 5 // 4, Path(config.runs) / "cache"
    with state.processes.main_process_first():
        train = data.load(config.data, "train", side, cache, config.model.domains)
        val = data.load(config.data, "val", side, cache, config.model.domains)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_stopped_by_signals(stop))
        if first:
            stack.enter_context(alone(folder))
        resumed = resume(state, folder)
        if origin is not None and not resumed:
            words = begin(state, origin, zoo.discriminator(config.init_from), train)
            if first:
                tqdm.write(f"domains: {words}")
        start, saved = time.monotonic(), state.iteration
        try:
            records = None
            if first:
                with whole(folder / "config.json") as partial:
                    partial.write_text(json.dumps(dataclasses.asdict(config), indent=1))
                records = Records(state, val, folder)
                stack.callback(records.close)
                tqdm.write(
                    f"{folder}: {'continued at' if resumed else 'started at'} iteration {state.iteration}, "
                    f"{state.processes.num_processes} process{'es' * (state.processes.num_processes > 1)} on {state.device.type}"
                )
            for batch in batches(state, train):
                over = stop.is_set() or (config.minutes > 0 and time.monotonic() - start > 60 * config.minutes)
                if state.iteration >= config.iterations or _any(state, over):
                    break
                log = iterate(state, batch)
                if records is None:
                    continue
                found = dict(zip(log, torch.stack([v.float().cpu() for v in log.values()]).tolist(), strict=True))
                if on_step is not None:
                    on_step(state.iteration, found)
                records.losses(found)
                if state.iteration % config.sample_every == 0:
                    records.sheet()
                if config.evaluate_every and state.iteration % config.evaluate_every == 0:
                    records.evaluate()
                if state.iteration % config.save_every == 0 or state.iteration == state.best.get("iteration"):
                    save(state, folder)
                    saved = state.iteration
            if records is not None and state.iteration != saved:
                save(state, folder)
                records.sheet()
        except OSError as error:
            raise TrainingError(f"{folder} cannot be written to ({error}); make room and call fit again") from error
    return state


def _any(state: State, here: bool) -> bool:
    """Whether it is so in any process: all have to leave the loop at the same iteration."""
    if state.processes.num_processes == 1:
        return here
    return bool(reduce(torch.tensor([float(here)], device=state.device), "sum") > 0)
