"""What a run shows: the log, TensorBoard, sample sheets, short evaluations."""

from __future__ import annotations

import copy
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from stargan.files import whole
from train import data, log
from train.judge import evaluate, photographs, table
from train.run.checkpoints import BEST, export
from train.step.state import State

EVALUATED = 3, 16  # outputs, and sources a domain, of the evaluations during a run
EVALUATED_PHOTOGRAPHS = 32  # that are the sources instead, where there are any


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
        self.sheet_of = state.iteration if _sheet(folder, state.iteration).exists() else -1
        self.bar = tqdm(total=state.config.iterations, initial=state.iteration, unit="it", mininterval=1, dynamic_ncols=True)
        # What a run that was killed had told past the checkpoint that is continued from is taken back.
        log.cut(folder / "log.jsonl", state.iteration)
        self.log = (folder / "log.jsonl").open("a")
        self.since: dict[str, float] = {}  # the newest of each loss since the last line
        self.board: SummaryWriter | None = SummaryWriter(str(folder / "tensorboard"), purge_step=state.iteration + 1)

    def losses(self, found: dict[str, float]) -> None:
        """Once an iteration; written every `log_every`, each as it was last: not all are in each iteration."""
        c, iteration = self.state.config, self.state.iteration
        self.bar.update()
        self.since |= found
        if iteration % c.log_every:
            return
        found, self.since = self.since, {}
        seconds = round(time.monotonic() - self.start, 2)
        self.log.write(json.dumps({"iteration": iteration, "seconds": seconds} | found) + "\n")
        self.log.flush()
        self.on_board(lambda board: [board.add_scalar(key, value, iteration) for key, value in found.items()])
        speed = c.batch * (iteration - self.begun) / max(seconds, 1e-9)
        self.bar.set_postfix_str(f"{speed:.1f} img/s " + " ".join(f"{k} {v:.2f}" for k, v in found.items() if "reg" not in k))

    def sheet(self) -> None:
        """The sample sheet of this iteration, made once."""
        if self.sheet_of == self.state.iteration:
            return
        self.sheet_of = self.state.iteration
        path = _sheet(self.folder, self.state.iteration)
        path.parent.mkdir(exist_ok=True)
        picture = sample_sheet(self.state, self.val)
        with whole(path) as partial:
            picture.save(partial, "PNG", compress_level=1)  # a tenth larger, in a quarter of the time
        self.on_board(lambda board: board.file_writer.add_summary(_summary(picture), self.sheet_of))

    def evaluate(self) -> None:
        """Measures the averaged networks on some of the val pictures; the best so far are kept as best.safetensors too."""
        c, iteration = self.state.config, self.state.iteration
        model = self.state.model(c.name)
        if self.state.device.type != "cpu":
            model = copy.deepcopy(model)
            for net in model.networks.values():
                net.cpu()
        try:
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
        except Exception as error:  # A file that was changed meanwhile, or whatever else, must not end a run of hours.
            tqdm.write(f"iteration {iteration}: not evaluated ({str(error) or type(error).__name__})")
            return
        self.log.write(json.dumps({"iteration": iteration, "score": score, "metrics": found}) + "\n")
        self.log.flush()
        self.on_board(lambda board: board.add_scalar("score", score, iteration))
        tqdm.write(f"iteration {iteration}: score {score:.2f}, best {min(score, self.state.best.get('score', score)):.2f}")
        if score < self.state.best.get("score", float("inf")):
            self.state.best = {"iteration": iteration, "score": score}
            export(self.state, self.folder / BEST)

    def photographs(self) -> photographs.Photographs | None:
        """Some of the val pictures of source-only domains, where the run has such: what a model makes of these is measured then."""
        c = self.state.config
        if not c.sources:
            return None
        val = data.load(c.data, "val", c.image_size, Path(c.runs) / "cache", c.sources[:1])
        return photographs.of_domain(val, 0, EVALUATED_PHOTOGRAPHS)

    def on_board(self, show: Callable[[Any], object]) -> None:
        """Gives TensorBoard something to show. Where its files have been taken away, the run goes on without them."""
        if self.board is None:
            return
        try:
            show(self.board)
        except OSError as error:
            self.board = None
            tqdm.write(f"TensorBoard is told nothing more until fit is called again: {error}")

    def close(self) -> None:
        self.bar.close()
        self.log.close()
        self.on_board(lambda board: board.close())


def _summary(picture: Image.Image) -> Any:
    """A sheet for TensorBoard, as JPEG: of what it writes it computes sums in Python, which takes a second for a PNG at 256 px."""
    from tensorboard.compat.proto.summary_pb2 import Summary  # type: ignore[import-untyped]

    encoded = io.BytesIO()
    picture.save(encoded, "JPEG", quality=95, subsampling=0)
    image = Summary.Image(height=picture.height, width=picture.width, colorspace=3, encoded_image_string=encoded.getvalue())
    return Summary(value=[Summary.Value(tag="samples", image=image)])


def _sheet(folder: Path, iteration: int) -> Path:
    return folder / "samples" / f"{iteration:07d}.png"
