"""What a run leaves behind: checkpoints to continue from, the exported model, the log, TensorBoard, sample sheets."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from filelock import FileLock, Timeout
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from stargan.files import checkpoint, whole
from train import data
from train.judge import evaluate, photographs, table

if TYPE_CHECKING:
    from train.loop import State


EVALUATED = 3, 16  # outputs, and sources a domain, of the evaluations during a run
EVALUATED_PHOTOGRAPHS = 32  # that are the sources instead, where there are any


class TrainingError(ValueError):
    """A run that cannot go on; the sentence says why and what to do."""


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Makes the folder and holds it meanwhile, its `pid` file saying who; TrainingError where another process does. What a run
    that was killed had half written is removed."""
    lock = FileLock(folder / ".lock", timeout=1)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        (folder / "pid").write_text(str(os.getpid()))
        for partial in folder.glob("*.part"):
            partial.unlink()
    except Timeout:
        raise TrainingError(f"{folder} is being trained by another process; wait for it, or train under another name") from None
    except OSError as error:
        lock.release()
        raise TrainingError(f"{folder} cannot be written to ({error}); make room, or choose another place for runs") from None
    try:
        yield
    finally:
        (folder / "pid").unlink(missing_ok=True)
        lock.release()


def trained_by(folder: Path) -> int | None:
    """The process that trains the run in this folder now, None where there is none."""
    lock = FileLock(folder / ".lock", timeout=0)
    if not (folder / "pid").exists():
        return None
    try:
        with lock:
            return None  # what was left by a process that was killed
    except Timeout:
        text = (folder / "pid").read_text() if (folder / "pid").exists() else ""
        return int(text) if text.isdecimal() else None


def save(state: State, folder: Path) -> Path:
    """Writes `checkpoint-<iteration>.pt` whole or not at all, keeps the newest `keep` and the best, and exports
    model.safetensors. TrainingError where it cannot be written; what was there before stays."""
    path = folder / f"checkpoint-{state.iteration:07d}.pt"
    content = {
        "iteration": state.iteration,
        "best": state.best,
        "networks": {k: v.state_dict() for k, v in state.networks.items()},
        "averaged": {k: v.state_dict() for k, v in state.averaged.items()},
        "optimisers": {k: v.state_dict() for k, v in state.optimisers.items()},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with whole(path) as partial, partial.open("wb") as file:
            torch.save(content, file)
        export(state, folder / "model.safetensors")
    # torch.save turns what the file says into a RuntimeError of its own.
    except (OSError, RuntimeError) as error:
        raise TrainingError(
            f"{path} could not be written ({str(error).splitlines()[0]}); make room on the disk and call fit again: it continues "
            "from the last whole checkpoint"
        ) from error
    best = folder / f"checkpoint-{int(state.best.get('iteration', -1)):07d}.pt"
    for old in sorted(folder.glob("checkpoint-*.pt"))[: -state.config.keep]:
        if old != best:
            old.unlink()
    return path


def export(state: State, path: Path) -> None:
    """Writes the averaged networks as a model, and beside it the discriminator, for whoever trains on from it; both in fp16 and
    without source-only domains."""
    model = state.model(state.config.name)
    checkpoint.save(model, path, dtype=torch.float16)
    checkpoint.save_discriminator(state.judge(), model.config, checkpoint.discriminator_path(path), dtype=torch.float16)


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
            # The checkpoint brings the moments; the settings are those of the configuration.
            for group in optimiser.param_groups:
                group |= {k: v for k, v in optimiser.defaults.items() if k in ("lr", "betas", "weight_decay")}
    except (RuntimeError, KeyError, EOFError, OSError, ValueError, pickle.UnpicklingError) as error:
        raise checkpoint.CheckpointError(
            f"{found[-1]} does not continue this run ({str(error).splitlines()[0]}); train under another name or remove it"
        ) from None
    state.iteration = content["iteration"]
    state.best = content.get("best", {})
    return True


@torch.no_grad()
def sample_sheet(state: State, val: data.Pictures, sources: int = 6, seeds: int = 2) -> Image.Image:
    """Fixed val sources down, half of them of source-only domains where there are such; across: the source, latent-guided outputs
    for each domain, reference-guided ones below their references, and the cycle reconstruction."""
    size, domains = state.config.image_size, len(state.config.domains)
    rng = np.random.default_rng(state.config.seed)
    only = sources // 2 if state.config.sources else 0
    _, source = data.balanced(val, sources - only, rng, high=domains)
    if only:
        source = np.concatenate([data.balanced(val, only, rng, low=domains)[1], source])
    references = [int(rng.choice(val.of(d))) for d in range(domains)]
    latents = torch.from_numpy(rng.standard_normal((seeds, state.config.model.latent_dim), dtype=np.float32)).to(state.device)

    def pictures(index: list[int] | np.ndarray) -> Tensor:
        return data.resized(val.batch(index), size).to(state.device)

    x, x_ref = pictures(source), pictures(references)
    nets = state.averaged
    y = torch.arange(domains, device=state.device)
    with state.autocast():
        masks = state.masks(x)
        columns = [x]
        for d in range(domains):
            for z in latents:
                style = nets["mapping_network"](z[None], y[d : d + 1]).expand(sources, -1)
                columns.append(nets["generator"](x, style, masks))
        styles = nets["style_encoder"](x_ref, y)
        columns += [nets["generator"](x, styles[d].expand(sources, -1), masks) for d in range(domains)]
        own = nets["style_encoder"](x, torch.from_numpy(val.domain[source]).to(state.device))
        columns.append(nets["generator"](columns[1].float(), own, state.masks(columns[1].float())))
    top: list[Tensor | None] = [None] * (1 + domains * seeds) + list(x_ref) + [None]
    rows = [top] + [[column[r].float() for column in columns] for r in range(sources)]
    return data.grid_picture(rows, size)


class Records:
    """What a run shows while it goes on: a line in the terminal, log.jsonl, TensorBoard, sample sheets."""

    def __init__(self, state: State, val: data.Pictures, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.state, self.val, self.folder = state, val, folder
        self.start, self.begun = time.monotonic(), state.iteration
        self.sheet_of = -1
        self.bar = tqdm(total=state.config.iterations, initial=state.iteration, unit="it", mininterval=1, dynamic_ncols=True)
        self.log = (folder / "log.jsonl").open("a")
        # Events past the checkpoint that is continued from are taken back.
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=state.iteration)

    def losses(self, found: dict[str, float]) -> None:
        """Once an iteration; written every `log_every`, for both kinds of guidance where they come in turn."""
        c, iteration = self.state.config, self.state.iteration
        self.bar.update()
        if iteration % c.log_every >= 1 + c.alternate:
            return
        seconds = round(time.monotonic() - self.start, 2)
        self.log.write(json.dumps({"iteration": iteration, "seconds": seconds} | found) + "\n")
        self.log.flush()
        for key, value in found.items():
            self.board.add_scalar(key, value, iteration)
        speed = c.batch * (iteration - self.begun) / max(seconds, 1e-9)
        self.bar.set_postfix_str(f"{speed:.1f} img/s " + " ".join(f"{k} {v:.2f}" for k, v in found.items() if "reg" not in k))

    def sheet(self) -> None:
        """The sample sheet of this iteration, made once."""
        if self.sheet_of == self.state.iteration:
            return
        self.sheet_of = self.state.iteration
        path = self.folder / "samples" / f"{self.state.iteration:07d}.png"
        path.parent.mkdir(exist_ok=True)
        picture = sample_sheet(self.state, self.val)
        with whole(path) as partial:
            picture.save(partial, "PNG")
        self.board.add_image("samples", np.asarray(picture), self.state.iteration, dataformats="HWC")

    def evaluate(self) -> None:
        """Measures the averaged networks on some of the val pictures; the best so far are kept as best.safetensors too."""
        c, iteration = self.state.config, self.state.iteration
        model = self.state.model(c.name)
        if self.state.device.type != "cpu":
            model = copy.deepcopy(model)
            for net in model.networks.values():
                net.cpu()
        found = evaluate.evaluate(
            model,
            c.data,
            photographs=self.photographs(),
            cache=Path(c.runs) / "cache",
            outputs=EVALUATED[0],
            limit=EVALUATED[1],
            downloads=False,
            seed=c.seed,
        )
        score = table.score(found)
        self.log.write(json.dumps({"iteration": iteration, "score": score, "metrics": found}) + "\n")
        self.log.flush()
        self.board.add_scalar("score", score, iteration)
        tqdm.write(f"iteration {iteration}: score {score:.2f}, best {min(score, self.state.best.get('score', score)):.2f}")
        if score < self.state.best.get("score", float("inf")):
            self.state.best = {"iteration": iteration, "score": score}
            export(self.state, self.folder / "best.safetensors")

    def photographs(self) -> photographs.Photographs | None:
        """Some of the val pictures of source-only domains, where the run has such: what a model makes of these is measured then."""
        c = self.state.config
        if not c.sources:
            return None
        val = data.load(c.data, "val", c.image_size, Path(c.runs) / "cache", c.sources[:1])
        return photographs.of_domain(val, 0, EVALUATED_PHOTOGRAPHS)

    def close(self) -> None:
        self.bar.close()
        self.log.close()
        self.board.close()
