"""The training loop: read it from `fit` downwards."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import torch
from accelerate.utils import reduce
from tqdm import tqdm

from stargan import zoo
from stargan.faces.landmarks import load_fan68
from stargan.files import checkpoint, whole
from stargan.files.checkpoint import CheckpointError
from stargan.memory import enough_memory, refused_beyond_what_is_free
from stargan.model import Model
from train import data
from train.config import ConfigError, TrainConfig, TrainingError
from train.data import framing
from train.memory import keep_freed_memory
from train.run.checkpoints import MODEL, checkpoints, elsewhere, prune, resume, save, settle
from train.run.lock import alone
from train.run.records import Records
from train.run.start import begin, check_shape
from train.run.stopping import left_by_others, stopped_by_signals, unread_output
from train.step.batch import Batch, sample_batch
from train.step.state import State
from train.step.update import iterate


def batches(state: State, pictures: data.Pictures) -> Iterator[Batch]:
    """The batches from this iteration on, each prepared while the one before is worked on."""
    p = state.processes
    with ThreadPoolExecutor(1) as pool:

        def later(iteration: int) -> Future[Batch]:
            return pool.submit(sample_batch, state.config, pictures, iteration, p.process_index, p.num_processes, state.device)

        waiting = later(state.iteration)
        for i in itertools.count(state.iteration + 1):
            batch, waiting = waiting, later(i)
            yield batch.result()


@unread_output()
@left_by_others()
def fit(
    config: TrainConfig,
    on_step: Callable[[int, dict[str, float]], None] | None = None,
    stop: threading.Event | None = None,
    accept_changes: bool = False,
) -> State:
    """Trains until `iterations`, or until `minutes` are over, `stop` is set, or SIGTERM, SIGINT or SIGHUP comes; saves before it
    returns.

    A run that is already in `runs/<name>` is continued; accept_changes: even with other domains or pictures, or without a
    network that it has trained. on_step is given the iteration and its losses, in the first process.
    Errors, all ValueErrors: data.DataError for the pictures, ConfigError for settings that do not fit each other, CheckpointError
    for a checkpoint that is damaged or of another shape, TrainingError for losses that are not finite, a full disk, a run whose
    checkpoints have gone and one of several processes that ended, NotEnoughMemory.
    """
    keep_freed_memory()
    stop = stop or threading.Event()
    config, origin = _settled(config)
    state = State(config, (origin and origin.fan) or (load_fan68() if config.w_hpf > 0 else None))
    folder, first = config.folder, state.processes.is_main_process
    train, val = _pictures(state)
    state.digest = f"{train.digest} {val.digest}"
    state.aligner = framing.aligner(Path(config.data)) or (origin.aligner if origin is not None else None)
    # A model that aligns nothing has no frame.
    state.frame = framing.frame(train, origin) if state.fan is not None or state.aligner else None
    with contextlib.ExitStack() as stack:
        if first:
            stack.enter_context(alone(folder))
        resumed = resume(state, folder, accept_changes)
        if first:
            prune(state, folder)
        if origin is not None and not resumed:
            words = begin(state, origin, zoo.discriminator(config.init_from), train)
            if first:
                tqdm.write(f"domains: {words}")
        try:
            records = None
            if first:
                with whole(folder / "config.json") as partial:
                    partial.write_text(json.dumps(dataclasses.asdict(config), indent=1))
                if resumed and (changed := settle(state, folder)):
                    tqdm.write(f"{folder}: the licence of {' and '.join(changed)} is {config.licence} now")
                records = Records(state, val, folder)
                stack.callback(records.close)
                tqdm.write(
                    f"{folder}: {'continued at' if resumed else 'started at'} iteration {state.iteration}, "
                    f"{state.processes.num_processes} process{'es' * (state.processes.num_processes > 1)} on {state.device.type}"
                )
                if state.iteration >= config.iterations:
                    tqdm.write(f"{folder}: nothing is left to do of {config.iterations} iterations; set more, to train on")
            # Before that there is nothing to save, and growing a model takes minutes.
            stack.enter_context(stopped_by_signals(stop))
            if state.device.type == "cpu":
                stack.enter_context(refused_beyond_what_is_free())
            with enough_memory(
                f"set batch lower than {config.batch}, accumulate higher than {config.accumulate} (the batch in more parts), or "
                f"image_size lower than {config.image_size}, and call fit again: it continues from the last checkpoint"
            ):
                _loop(state, train, records, on_step, stop)
        except OSError as error:
            raise TrainingError(f"{folder} cannot be written to ({error}); make room and call fit again") from error
    return state


def _settled(config: TrainConfig) -> tuple[TrainConfig, Model | None]:
    """The configuration with what follows from the data and from the model that the run starts from, or has come to where it is
    continued; and that model. TrainingError for a run whose checkpoints have gone."""
    if not config.domains:
        folders = data.folders(Path(config.data) / "train")
        config = dataclasses.replace(config, domains=tuple(d for d in folders if d not in config.sources))
    origin = _come_to(config.folder)
    if origin is None and config.init_from:
        origin = zoo.load(config.init_from, domains=config.init_domains or None, wing=config.init_wing or None)
        for note in origin.notes:
            tqdm.write(f"{origin.name}: {note}")
        check_shape(config, origin)
        if origin.fan is not None:
            origin.fan.half().float()  # as it is exported: from there a run that is continued takes it
    if origin is None:
        return config, None
    return dataclasses.replace(config, licence=config.licence or origin.licence), origin


def _come_to(folder: Path) -> Model | None:
    """The model of a run that has checkpoints, None where it cannot be read; TrainingError where there is nothing but a model."""
    path = folder / MODEL
    if checkpoints(folder):
        with contextlib.suppress(CheckpointError):
            return checkpoint.load(path)
    elif path.exists():
        raise TrainingError(
            f"{folder} holds a trained model, but no checkpoint to continue it from; {elsewhere(folder)}, or move that folder away"
        )
    return None


def _pictures(state: State) -> tuple[data.Pictures, data.Pictures]:
    """Those of train and of val; ConfigError where the processes cannot divide a batch among them."""
    config = state.config
    if config.batch % (config.accumulate * state.processes.num_processes):
        raise ConfigError(
            f"batch is {config.batch}; it has to be a multiple of accumulate ({config.accumulate}) times the number of processes "
            f"({state.processes.num_processes})"
        )
    # Room for the crop to be cut from, a quarter more than the crop itself. The first process fills the cache for the others.
    side, cache = config.image_size * 5 // 4, Path(config.runs) / "cache"
    with state.processes.main_process_first():
        say = tqdm.write if state.processes.is_main_process else lambda _: None
        return data.load_splits(config.data, side, cache, config.model.domains, say)


def _loop(
    state: State,
    train: data.Pictures,
    records: Records | None,
    on_step: Callable[[int, dict[str, float]], None] | None,
    stop: threading.Event,
) -> None:
    """The iterations of this call. records: of the first process; the others record and save nothing."""
    config, start, saved = state.config, time.monotonic(), state.iteration
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
            save(state, config.folder)
            saved = state.iteration
    if records is not None:
        if state.iteration != saved:
            save(state, config.folder)
        records.sheet()


def _any(state: State, here: bool) -> bool:
    """Whether it is so in any process: all have to leave the loop at the same iteration."""
    if state.processes.num_processes == 1:
        return here
    return bool(reduce(torch.tensor([float(here)], device=state.device), "sum") > 0)
