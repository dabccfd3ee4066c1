"""How fast a configuration trains, beside the same algorithm as the paper's code carries it out, in one process.

That is: eager, float32, contiguous tensors, convolutions, pooling and upsampling one after the other, R1 in each of the two
discriminator updates, forward passes made again for each update, gradients through everything.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import multiprocessing
import signal
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from stargan.faces.landmarks import load_fan68
from stargan.layers import unfolded
from stargan.memory import enough_memory, most_used
from train import data
from train.config import PAPER, TrainConfig
from train.memory import keep_freed_memory
from train.step import losses
from train.step.augment import NUMBERS
from train.step.batch import KINDS, Batch
from train.step.state import State
from train.step.update import iterate, update_averages

SMALLER = "set batch lower, accumulate higher (the batch in more parts), or image_size lower"
NOBODY = ("domain 1", "domain 2")


class BenchError(ValueError):
    """A configuration that cannot be measured here; the sentence says why."""


def plain_state(config: TrainConfig) -> State:
    """The networks of a run and their optimisers, as the paper's code has them."""
    changes: dict[str, Any] = PAPER | {"precision": "fp32", "accumulate": 1, "exact": True}
    state = State(dataclasses.replace(config, **changes), load_fan68() if config.w_hpf > 0 else None)
    for net in [*state.networks.values(), *state.averaged.values(), *([state.fan] if state.fan else [])]:
        net.to(memory_format=torch.contiguous_format)
    for name, net in state.networks.items():
        state.optimisers[name] = torch.optim.Adam(net.parameters(), **state.optimisers[name].defaults | {"fused": None})
    return state


def plain_iteration(state: State, batch: Batch) -> dict[str, Tensor]:
    """One iteration of `exact: true`, the plain way; the losses and the weights after it are the same but for rounding."""
    c = state.config
    with unfolded():
        masks = state.masks(batch.x_real)
        log: dict[str, Tensor] = {}
        for kind in KINDS:
            x_real = batch.x_real.detach().requires_grad_()
            logits = state.discriminator(x_real, batch.y_org)
            real, penalty = losses.adversarial(logits, real=True), losses.r1(logits, x_real)
            with torch.no_grad():
                image = state.generator(batch.x_real, _style(state, batch, kind), masks)
            fake = losses.adversarial(state.discriminator(image, batch.y_trg), real=False)
            _step(state, real + fake + c.lambda_r1 * penalty, ("discriminator",))
            log |= {f"D/{kind}_real": real, f"D/{kind}_fake": fake, f"D/{kind}_reg": penalty}
        for kind in KINDS:
            style = _style(state, batch, kind)
            image = state.generator(batch.x_real, style, masks)
            adv = losses.adversarial(state.discriminator(image, batch.y_trg), real=True)
            sty = losses.style_reconstruction(style, state.style_encoder(image, batch.y_trg))
            ds = losses.diversity(image, state.generator(batch.x_real, _style(state, batch, kind, second=True), masks))
            back = state.generator(image, state.style_encoder(batch.x_real, batch.y_org), state.masks(image))
            cyc = losses.cycle(batch.x_real, back)
            trained = ("generator", "mapping_network", "style_encoder") if kind == "latent" else ("generator",)
            _step(state, adv + c.lambda_sty * sty - state.lambda_ds * ds + c.lambda_cyc * cyc, trained)
            log |= {f"G/{kind}_adv": adv, f"G/{kind}_sty": sty, f"G/{kind}_ds": ds, f"G/{kind}_cyc": cyc}
        update_averages(state)
    state.iteration += 1
    return {k: v.detach() for k, v in log.items()}


def _style(state: State, batch: Batch, kind: str, second: bool = False) -> Tensor:
    if kind == "latent":
        return state.mapping_network(batch.z2 if second else batch.z, batch.y_trg)
    return state.style_encoder(batch.x_ref2 if second else batch.x_ref, batch.y_trg)


def _step(state: State, loss: Tensor, trained: tuple[str, ...]) -> None:
    for optimiser in state.optimisers.values():
        optimiser.zero_grad()
    loss.backward()
    for name in trained:
        state.optimisers[name].step()


def random_batch(config: TrainConfig, memory_format: torch.memory_format = torch.channels_last) -> Batch:
    """A batch of noise: speed does not depend on what the pictures show."""
    generator = torch.Generator().manual_seed(config.seed)
    n, side, domains = config.batch, config.image_size, len(config.domains)
    x = torch.rand(3, n, 3, side, side, generator=generator) * 2 - 1
    z = torch.randn(2, n, config.model.latent_dim, generator=generator)
    y = torch.randint(domains, (2, n), generator=generator)
    noise = torch.rand(n, len(KINDS), 3, NUMBERS, generator=generator)
    x_real, x_ref, x_ref2 = (i.contiguous(memory_format=memory_format) for i in x)
    return Batch(x_real, y[0], x_ref, x_ref2, y[1], z[0], z[1], noise)


def _ways(config: TrainConfig) -> dict[str, Callable[[], Callable[[], object]]]:
    """Both ways by name; each, when called, builds its networks and returns its iteration."""

    def plain() -> Callable[[], object]:
        state = plain_state(config)
        batch = random_batch(config, torch.contiguous_format).to(state.device)
        return lambda: plain_iteration(state, batch)

    def ours() -> Callable[[], object]:
        keep_freed_memory()
        state = State(config, load_fan68() if config.w_hpf > 0 else None)
        batch = random_batch(config).to(state.device)
        return lambda: iterate(state, batch)

    return {"paper's code": plain, "this run": ours}


def _peak(config: TrainConfig, way: str, found: Connection) -> None:
    """Sends GiB, or the sentence of an error."""
    try:
        with enough_memory(SMALLER):
            _ways(config)[way]()()
    except (ValueError, OSError) as error:
        found.send(str(error))
    else:
        if torch.cuda.is_available() and config.device != "cpu":
            found.send(torch.cuda.max_memory_allocated() / 2**30)
        else:
            found.send(most_used())


def peak_memory(config: TrainConfig, way: str) -> float:
    """GiB that the first iteration takes at most, which has R1: in a process of its own, on the CPU with all of that process.
    BenchError with what it said, or with how it ended."""
    # Which does not inherit the peak of this one, as a child would.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    found, sender = context.Pipe(duplex=False)
    process = context.Process(target=_peak, args=(config, way, sender), daemon=True)
    process.start()
    sender.close()
    with found:
        wait([found, process.sentinel])
        try:
            result = found.recv() if found.poll() else None
        except EOFError:
            result = None
    process.join()
    if isinstance(result, str):
        raise BenchError(result)
    if result is None:
        killed = f"was killed, as a system does that runs out of memory; {SMALLER}" if process.exitcode == -signal.SIGKILL else ""
        ended = f"ended with code {process.exitcode}; what it printed says why"
        raise BenchError(f"the process in which {way} was tried {killed or ended}")
    return float(result)


def _with_domains(config: TrainConfig) -> TrainConfig:
    """Where none are named, the domains are those of the data folder, or two without pictures: a batch is noise in any case."""
    if config.domains:
        return config
    found: tuple[str, ...] = ()
    with contextlib.suppress(data.DataError):
        found = tuple(d for d in data.folders(Path(config.data) / "train") if d not in config.sources)
    return dataclasses.replace(config, domains=found or NOBODY)


def bench(config: TrainConfig, rounds: int = 3, profile: bool = False) -> str:
    """Times both ways in turn and returns a table: seconds an iteration, img/s, updates/s, peak memory, ratios.

    An iteration of the run is the mean over one period of what it does in turn (lazy R1, the cycle, both kinds of guidance). img/s
    counts the sources of an iteration; updates/s counts discriminator and generator updates, of which one in turn has half.
    ValueErrors for what cannot be built or is too large for this machine.
    """
    config = _with_domains(config)
    period = math.lcm(config.r1_every, config.cyc_every) * (2 if config.alternate else 1)
    counts = {"paper's code": (1, 4), "this run": (period, 2 if config.alternate else 4)}  # iterations a round, updates in one
    peaks = {name: peak_memory(config, name) for name in counts}
    iterations = {name: build() for name, build in _ways(config).items()}
    for iteration in iterations.values():
        iteration()
    seconds: dict[str, list[float]] = {name: [] for name in iterations}
    with tqdm(total=rounds * sum(count for count, _ in counts.values()), desc="bench", unit="it") as bar:
        for _ in range(rounds):
            for name, (count, _) in counts.items():
                start = time.perf_counter()
                for _ in range(count):
                    iterations[name]()
                    bar.update()
                _wait()
                seconds[name].append((time.perf_counter() - start) / count)
    rows: list[str] = []
    base = 0.0, 0.0
    for name, (_, updates) in counts.items():
        each = statistics.median(seconds[name])
        speed = config.batch / each, updates / each
        base = base if rows else speed
        rows.append(
            f"{name:14s} {each:9.3f} {speed[0]:9.3f} {speed[0] / base[0]:7.2f} {speed[1]:11.3f} {speed[1] / base[1]:7.2f}"
            f" {peaks[name]:9.2f}"
        )
    head = f"{'':14s} {'s/it':>9s} {'img/s':>9s} {'ratio':>7s} {'updates/s':>11s} {'ratio':>7s} {'peak GiB':>9s}"
    where = f"{config.name}: {config.image_size} px, batch {config.batch}, {torch.get_num_threads()} threads, median of {rounds}"
    table = "\n".join([where, head, *rows])
    return f"{table}\n\n{_profile(iterations['this run'], period)}" if profile else table


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _profile(iteration: Callable[[], object], count: int) -> str:
    """Where one period of iterations spends its time, by operator."""
    with torch.profiler.profile() as found:
        for _ in range(count):
            iteration()
    by = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
    return found.key_averages().table(sort_by=by, row_limit=20, max_name_column_width=40)
