"""The training loop: read it from `fit` downwards."""

from __future__ import annotations

import copy
import ctypes
import dataclasses
import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from stargan import checkpoint
from stargan.fan import FAN, load_fan68
from stargan.masks import face_masks
from stargan.networks import Discriminator, Generator, MappingNetwork, StyleEncoder
from train import data, losses
from train.augment import diff_augment
from train.config import TrainConfig

Masks = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Batch:
    """What one iteration sees: sources of domain y_org, two references of domain y_trg, two latents."""

    x_real: Tensor  # (N, 3, S, S) in [-1, 1], as the references
    y_org: Tensor  # (N,) long
    x_ref: Tensor
    x_ref2: Tensor
    y_trg: Tensor
    z: Tensor  # (N, latent_dim)
    z2: Tensor


class State:
    """Networks, their averages, and optimisers: all that changes while a run goes on."""

    def __init__(self, config: TrainConfig, fan: FAN | None) -> None:
        torch.manual_seed(config.seed)
        model = config.model
        self.config = config
        self.fan = fan.to(memory_format=torch.channels_last) if fan is not None and config.w_hpf > 0 else None
        self.generator = Generator(model)
        self.mapping_network = MappingNetwork(model)
        self.style_encoder = StyleEncoder(model)
        self.discriminator = Discriminator(model)
        for net in self.networks.values():
            initialize(net)
            net.to(memory_format=torch.channels_last)
        self.averaged = {k: copy.deepcopy(net).requires_grad_(False) for k, net in self.networks.items() if k != "discriminator"}
        self.optimisers = {
            name: torch.optim.Adam(
                net.parameters(),
                lr=config.mapping_lr if name == "mapping_network" else config.lr,
                betas=config.betas,
                weight_decay=config.weight_decay,
                fused=True,
            )
            for name, net in self.networks.items()
        }
        self.iteration = 0

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

    def masks(self, image: Tensor) -> Masks | None:
        """The masks of these images, without gradient; None for a model without skips."""
        if self.fan is None:
            return None
        with torch.no_grad():
            return face_masks(self.fan(image))

    def model(self, name: str) -> checkpoint.Model:
        """The averaged networks, as inference uses them; they share memory with this state."""
        nets: dict[str, Any] = {k: net.eval() for k, net in self.averaged.items()}
        return checkpoint.Model(config=self.config.model, fan=self.fan, name=name, licence=self.config.licence, **nets)


def initialize(net: nn.Module) -> None:
    """He initialisation (arXiv 1502.01852) of convolutions and linear layers, biases at zero."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_in", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def _autocast(config: TrainConfig) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bf16")


def _step(state: State, loss: Tensor, names: tuple[str, ...]) -> None:
    for name in names:
        state.optimisers[name].zero_grad()
    # Only these networks get gradients; the others are merely passed through.
    loss.backward(inputs=[p for name in names for p in state.networks[name].parameters()])
    for name in names:
        state.optimisers[name].step()


@dataclass
class Fake:
    """A translated batch, kept with what its second forward pass would compute again."""

    style: Tensor
    image: Tensor
    features: Tensor
    skips: dict[int, Tensor] | None


def translate(state: State, x: Tensor, style: Tensor, masks: Masks | None) -> Fake:
    features, kept = state.generator.features(x)
    skips = state.generator.skips(kept, masks) if masks is not None else None
    return Fake(style, state.generator.synthesize(features, style, skips).float(), features, skips)


def discriminator_update(
    state: State, batch: Batch, fake: Tensor, augment: Callable[[Tensor], Tensor], with_r1: bool
) -> dict[str, float]:
    """Equation 1 for the discriminator, and R1 on real pictures. fake (N, 3, S, S) is cut off from the generator."""
    c = state.config
    with _autocast(c):
        fake_loss = losses.adversarial(state.discriminator(augment(fake.detach()), batch.y_trg).float(), real=False)
    x_real = augment(batch.x_real)
    penalty = torch.zeros(())
    if with_r1:
        x_real = x_real.detach().requires_grad_()
        logits = state.discriminator(x_real, batch.y_org)  # in float32: a gradient of a gradient needs it
        penalty = losses.r1(logits, x_real)
    else:
        with _autocast(c):
            logits = state.discriminator(x_real, batch.y_org).float()
    real_loss = losses.adversarial(logits, real=True)
    _step(state, real_loss + fake_loss + c.lambda_r1 * c.r1_every * penalty, ("discriminator",))
    return {"real": real_loss.item(), "fake": fake_loss.item()} | ({"reg": penalty.item()} if with_r1 else {})


def generator_update(
    state: State, batch: Batch, fake: Fake, other_style: Tensor, augment: Callable[[Tensor], Tensor], trained: tuple[str, ...]
) -> dict[str, float]:
    """Equation 5: adversarial, style, diversity and cycle losses; steps the networks named in `trained`."""
    c = state.config
    with _autocast(c):
        adv = losses.adversarial(state.discriminator(augment(fake.image), batch.y_trg).float(), real=True)
        sty = losses.style_reconstruction(fake.style.float(), state.style_encoder(fake.image, batch.y_trg).float())
        with torch.no_grad():
            other = state.generator.synthesize(fake.features, other_style, fake.skips).float()
        ds = losses.diversity(fake.image, other)
        with torch.set_grad_enabled("style_encoder" in trained):
            back_style = state.style_encoder(batch.x_real, batch.y_org)
        back = translate(state, fake.image, back_style, state.masks(fake.image))
        cyc = losses.cycle(batch.x_real, back.image)
    _step(state, adv + c.lambda_sty * sty - state.lambda_ds * ds + c.lambda_cyc * cyc, trained)
    return {"adv": adv.item(), "sty": sty.item(), "ds": ds.item(), "cyc": cyc.item()}


def iterate(state: State, batch: Batch) -> dict[str, float]:
    """One iteration: discriminator and generator updates, latent- and reference-guided (or one kind, in turn), the averages,
    the weight of the diversity loss. Returns the losses."""
    c = state.config
    generator = torch.Generator().manual_seed(c.seed * 1_000_003 + state.iteration)

    def augment(x: Tensor) -> Tensor:
        return diff_augment(x, generator) if c.diff_augment else x

    log: dict[str, float] = {}
    kinds = (("latent", "ref")[state.iteration % 2],) if c.alternate else ("latent", "ref")
    # In turn, latent- and reference-guided updates both take their share of R1.
    with_r1 = (state.iteration // (2 if c.alternate else 1)) % c.r1_every == 0

    with _autocast(c):
        masks = state.masks(batch.x_real)

    def fake(kind: str) -> Fake:
        with _autocast(c):
            if kind == "latent":
                style = state.mapping_network(batch.z, batch.y_trg)
            else:
                with torch.no_grad():
                    style = state.style_encoder(batch.x_ref, batch.y_trg)
            return translate(state, batch.x_real, style, masks)

    # The first kind's fake serves both updates: the generator does not change between them.
    first = fake(kinds[0])
    for kind in kinds:
        with torch.no_grad():
            image = first.image if kind == kinds[0] else fake(kind).image
        found = discriminator_update(state, batch, image, augment, with_r1)
        log |= {f"D/{kind}_{k}": v for k, v in found.items()}
    for kind in kinds:
        current = first if kind == kinds[0] else fake(kind)
        with torch.no_grad(), _autocast(c):
            other = (
                state.mapping_network(batch.z2, batch.y_trg)
                if kind == "latent"
                else state.style_encoder(batch.x_ref2, batch.y_trg)
            )
        trained = ("generator", "mapping_network", "style_encoder") if kind == "latent" else ("generator",)
        found = generator_update(state, batch, current, other, augment, trained)
        log |= {f"G/{kind}_{k}": v for k, v in found.items()}
    update_averages(state)
    state.iteration += 1
    return log | {"G/lambda_ds": state.lambda_ds}


@torch.no_grad()
def update_averages(state: State) -> None:
    """Exponential moving averages of the parameters; with warm-up, over the run so far while that is short."""
    i, decay = state.iteration, state.config.ema
    if state.config.ema_warmup:
        decay = min(decay, (1 + i) / (10 + i))
    for name, average in state.averaged.items():
        torch._foreach_lerp_(list(average.parameters()), list(state.networks[name].parameters()), 1 - decay)


def sample_batch(config: TrainConfig, pictures: data.Pictures, iteration: int) -> Batch:
    """The batch of an iteration: it depends on the seed and the iteration alone, so a resumed run sees the same pictures."""
    rng = np.random.default_rng([config.seed, iteration])
    y_org, source = data.balanced(pictures, config.batch, rng)
    y_trg, first, second = data.pairs(pictures, config.batch, rng)
    x = data.random_crop(pictures.batch(np.concatenate([source, first, second])), config.image_size, rng)
    x_real, x_ref, x_ref2 = x.contiguous(memory_format=torch.channels_last).chunk(3)
    z, z2 = torch.from_numpy(rng.standard_normal((2, config.batch, config.model.latent_dim), dtype=np.float32))
    return Batch(x_real, torch.from_numpy(y_org), x_ref, x_ref2, torch.from_numpy(y_trg), z, z2)


def save(state: State, folder: Path) -> Path:
    """Writes `checkpoint-<iteration>.pt` whole or not at all, keeps the newest `keep`, and exports model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"checkpoint-{state.iteration:07d}.pt"
    content = {
        "iteration": state.iteration,
        "networks": {k: v.state_dict() for k, v in state.networks.items()},
        "averaged": {k: v.state_dict() for k, v in state.averaged.items()},
        "optimisers": {k: v.state_dict() for k, v in state.optimisers.items()},
    }
    partial = path.with_suffix(".part")
    try:
        with partial.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    checkpoint.save(state.model(state.config.name), folder / "model.safetensors", dtype=torch.float16)
    for old in sorted(folder.glob("checkpoint-*.pt"))[: -state.config.keep]:
        old.unlink()
    return path


def resume(state: State, folder: Path) -> bool:
    """Continues from the newest checkpoint in the folder; False where there is none. CheckpointError where its shapes differ."""
    found = sorted(folder.glob("checkpoint-*.pt"))
    if not found:
        return False
    try:
        content = torch.load(found[-1], weights_only=True, map_location="cpu")
        for name, net in state.networks.items():
            net.load_state_dict(content["networks"][name])
        for name, net in state.averaged.items():
            net.load_state_dict(content["averaged"][name])
        for name, optimiser in state.optimisers.items():
            optimiser.load_state_dict(content["optimisers"][name])
    except (RuntimeError, KeyError, EOFError, OSError, ValueError) as error:
        raise checkpoint.CheckpointError(
            f"{found[-1]} does not continue this run ({str(error).splitlines()[0]}); train under another name or remove it"
        ) from None
    state.iteration = content["iteration"]
    return True


@torch.no_grad()
def sample_sheet(state: State, val: data.Pictures, path: Path, sources: int = 6, seeds: int = 2) -> None:
    """Fixed val sources down; across: the source, latent-guided outputs for each domain, reference-guided ones below their
    references, and the cycle reconstruction."""
    size, domains = state.config.image_size, len(val.domains)
    rng = np.random.default_rng(state.config.seed)
    _, source = data.balanced(val, sources, rng)
    references = [int(rng.choice(val.of(d))) for d in range(domains)]
    latents = torch.from_numpy(rng.standard_normal((seeds, state.config.model.latent_dim), dtype=np.float32))

    def pictures(index: list[int] | np.ndarray) -> Tensor:
        whole = torch.tensor([[1.0, 0, 0], [0, 1, 0]]).expand(len(index), 2, 3)
        return data.warp(val.batch(index), whole, size)

    x, x_ref = pictures(source), pictures(references)
    nets = state.averaged
    y = torch.arange(domains)
    with _autocast(state.config):
        masks = state.masks(x)
        columns = [x]
        for d in range(domains):
            for z in latents:
                style = nets["mapping_network"](z[None], y[d : d + 1]).expand(sources, -1)
                columns.append(nets["generator"](x, style, masks))
        styles = nets["style_encoder"](x_ref, y)
        columns += [nets["generator"](x, styles[d].expand(sources, -1), masks) for d in range(domains)]
        own = nets["style_encoder"](x, torch.from_numpy(val.domain[source]))
        columns.append(nets["generator"](columns[1].float(), own, state.masks(columns[1].float())))
    top: list[Tensor | None] = [None] * (1 + domains * seeds) + list(x_ref) + [None]
    rows = [top] + [[column[r].float() for column in columns] for r in range(sources)]
    path.parent.mkdir(parents=True, exist_ok=True)
    data.grid_picture(rows, size).save(path)


def _keep_freed_memory() -> None:
    """Asks glibc to keep large freed blocks instead of returning them: their pages would be zeroed anew at every step."""
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no separate mapping for large blocks
        libc.mallopt(-1, -1)  # M_TRIM_THRESHOLD: never shrink the heap
    except (OSError, AttributeError):
        return  # another C library: only speed is lost


def fit(
    config: TrainConfig,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
    stop: threading.Event | None = None,
) -> State:
    """Trains until `iterations`, or until `minutes` are over, `stop` is set, or SIGTERM or SIGINT comes; saves before it returns.

    A run that is already in `runs/<name>` is continued. on_step is given the iteration and its losses.
    """
    _keep_freed_memory()
    stop = stop or threading.Event()
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
    folder = config.folder
    # Room for the crop to be cut from, a quarter more than the crop itself.
    side = config.image_size * 5 // 4
    train = data.load(config.data, "train", side, Path(config.runs) / "cache", config.domains)
    val = data.load(config.data, "val", side, Path(config.runs) / "cache", config.domains)
    state = State(config, load_fan68() if config.w_hpf > 0 else None)
    resumed = resume(state, folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(dataclasses.asdict(config), indent=1))
    tqdm.write(f"{folder}: {'continued at' if resumed else 'started at'} iteration {state.iteration}")
    started, saved = time.monotonic(), state.iteration
    bar = tqdm(total=config.iterations, initial=state.iteration, unit="it", mininterval=5)
    with bar, (folder / "log.jsonl").open("a") as log:
        while state.iteration < config.iterations and not stop.is_set():
            if config.minutes and time.monotonic() - started > 60 * config.minutes:
                break
            found = iterate(state, sample_batch(config, train, state.iteration))
            bar.update()
            if on_step is not None:
                on_step(state.iteration, found)
            if state.iteration % config.log_every < 2:
                seconds = round(time.monotonic() - started, 1)
                log.write(json.dumps({"iteration": state.iteration, "seconds": seconds} | found) + "\n")
                log.flush()
                bar.set_postfix_str(" ".join(f"{k} {v:.3f}" for k, v in found.items() if "reg" not in k))
            if state.iteration % config.sample_every == 0:
                sample_sheet(state, val, folder / "samples" / f"{state.iteration:07d}.png")
            if state.iteration % config.save_every == 0:
                save(state, folder)
                saved = state.iteration
    if state.iteration != saved or not resumed:
        save(state, folder)
        sample_sheet(state, val, folder / "samples" / f"{state.iteration:07d}.png")
    return state
