"""One iteration: what the networks are asked, and the steps that follow. Read it from `iterate` upwards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from accelerate.utils import reduce
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from train.config import TrainingError
from train.step import losses
from train.step.augment import diff_augment
from train.step.batch import KINDS, Batch
from train.step.content import content, face_of
from train.step.state import Masks, State, masks_of

BAD_STEPS = 10  # in a row, after which a run gives up


@dataclass
class Fake:
    """A translated batch, kept with what a second style of the same source needs."""

    style: Tensor
    image: Tensor
    features: Tensor
    skips: dict[int, Tensor] | None


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
    """Equation 1 for the discriminator, R1 on real pictures, and what `losses.mismatch` says of them, where it has a weight. image
    (N, 3, S, S) comes from the generator, cut off from it."""
    c = state.config
    with state.autocast():
        logits = state.discriminator(_augment(state, image, batch, kind, 0), batch.y_trg)
    fake = losses.adversarial(logits.float(), real=False)
    x_real, y_real = _real(state, batch)
    x_real = _augment(state, x_real, batch, kind, 1)
    if with_r1:
        x_real = x_real.detach().requires_grad_()
        branches = state.discriminator.logits(x_real)  # in float32: a gradient of a gradient needs it
    else:
        with state.autocast():
            branches = state.discriminator.logits(x_real).float()
    logits = branches.gather(1, y_real[:, None]).squeeze(1)
    real = losses.adversarial(logits, real=True)
    loss, log = real + fake, {"real": real, "fake": fake}
    if with_r1:
        log["reg"] = losses.r1(logits, x_real)
        loss = loss + c.lambda_r1 * c.r1_every * log["reg"]
    if c.lambda_mis:
        log["mis"] = losses.mismatch(branches[:, : len(c.domains)], y_real)
        loss = loss + c.lambda_mis * log["mis"]
    return loss, log


def projected_loss(state: State, batch: Batch, image: Tensor, kind: str) -> tuple[Tensor, dict[str, Tensor]]:
    """As `discriminator_loss`, for the one on features, at all of its places."""
    c = state.config
    x_real, y_real = _real(state, batch)
    pictures = torch.cat([_augment(state, x_real, batch, kind, 1), _augment(state, image, batch, kind, 0)])
    with torch.no_grad():
        maps = state.look(pictures)
    assert state.projected is not None
    real, fake = state.projected(maps).chunk(2)  # (N, places, domains)
    loss = losses.adversarial(_branch(real, y_real), real=True) + losses.adversarial(_branch(fake, batch.y_trg), real=False)
    if c.lambda_mis:
        loss = loss + c.lambda_mis * losses.mismatch(real.flatten(0, 1), y_real.repeat_interleave(real.shape[1]))
    return loss, {"proj": loss}


def _branch(logits: Tensor, domain: Tensor) -> Tensor:
    """(N, places, domains) -> the logits of each picture's domain, (N * places,)."""
    return logits[torch.arange(len(domain), device=domain.device), :, domain].flatten()


def _real(state: State, batch: Batch) -> tuple[Tensor, Tensor]:
    """What fakes are told from, and its domains: the sources, but what is never a target needs no judge, so a reference stands in
    for it."""
    imitated = batch.y_org < len(state.config.domains)
    if not state.config.sources:
        return batch.x_real, batch.y_org
    return torch.where(imitated[:, None, None, None], batch.x_real, batch.x_ref), torch.where(imitated, batch.y_org, batch.y_trg)


def generator_loss(
    state: State, batch: Batch, fake: Fake, kind: str, with_cycle: bool, heatmaps: Tensor | None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Equation 5: adversarial, style, diversity and cycle losses; and those on content, on landmarks and by the discriminator on
    features, where they have a weight. heatmaps: what the FAN sees in the sources."""
    c = state.config
    with state.autocast():
        seen = _augment(state, fake.image, batch, kind, 2)
        logits = state.discriminator(seen, batch.y_trg)
        adv = losses.adversarial(logits.float(), real=True)
        sty = losses.style_reconstruction(fake.style.float(), state.style_encoder(fake.image, batch.y_trg).float())
        with torch.no_grad():
            other = state.generator.synthesize(fake.features, _style(state, batch, kind, second=True), fake.skips).float()
        ds = losses.diversity(fake.image, other)
        loss = adv + c.lambda_sty * sty - state.lambda_ds * ds
        log = {"adv": adv, "sty": sty, "ds": ds}
        found = state.heatmaps(fake.image) if c.lambda_lmk else None
        if with_cycle:
            # The style encoder learns from latent-guided updates only.
            with torch.set_grad_enabled(kind == "latent"):
                back_style = state.style_encoder(batch.x_real, batch.y_org)
            back = translate(state, fake.image, back_style, masks_of(found) if found is not None else state.masks(fake.image))
            log["cyc"] = losses.cycle(batch.x_real, back.image)
            loss = loss + c.lambda_cyc * c.cyc_every * log["cyc"]
        if state.features is not None and c.lambda_con:
            dx, dy, scale, *_ = batch.noise[0, KINDS.index(kind), 2].tolist()
            weight = fake.image.new_tensor(c.con_weights)[batch.y_trg] if c.con_weights else None
            face = face_of(heatmaps) if c.con_face and heatmaps is not None else None
            log["con"] = content(state.features, batch.x_real, fake.image, c.con_box, (dx, dy, scale), weight, face)
            loss = loss + state.lambda_con * log["con"]
        if found is not None and heatmaps is not None:
            log["lmk"] = losses.landmarks(heatmaps.float(), found.float())
            loss = loss + c.lambda_lmk * log["lmk"]
    if state.projected is not None:
        log["proj"] = losses.adversarial(_branch(state.projected(state.look(seen)), batch.y_trg), real=True)
        loss = loss + c.lambda_proj * log["proj"]
    return loss, log


def _step(state: State, names: tuple[str, ...], parts: Iterable[tuple[Tensor, dict[str, Tensor]]]) -> dict[str, Tensor]:
    """One step of these networks along the mean gradient of the losses of all parts of the batch, in all processes. A step
    whose gradient is not finite is left out. Returns the losses, averaged."""
    c = state.config
    parameters = [p for name in names for p in getattr(state, name).parameters()]
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
        pieces = together.split([g.numel() for g in gradients] + [1] * len(log))
        for g, piece in zip(gradients, pieces, strict=False):
            g.copy_(piece.view_as(g))
        log = {k: piece[0] for k, piece in zip(log, pieces[len(gradients) :], strict=True)}
    norm = torch.nn.utils.get_total_norm(gradients)
    if not norm.isfinite():
        state.bad_steps[names] += 1
        if state.bad_steps[names] == BAD_STEPS:
            raise TrainingError(
                f"the gradients of {' and '.join(names)} have not been finite {BAD_STEPS} times in a row, now at iteration "
                f"{state.iteration}; lower lr, or set clip to 10 or less, and call fit again: it continues from the last checkpoint"
            )
        return log
    state.bad_steps[names] = 0
    if c.clip > 0:
        torch.nn.utils.clip_grads_with_norm_(parameters, c.clip, norm)
    line = state.line if "generator" in names else None
    if line is not None:
        line.hand_on()
        names = (*names, "free")
    for name in names:
        state.optimisers[name].step()
    if line is not None:
        line.take(line.likeness)
    return log


def iterate(state: State, batch: Batch) -> dict[str, Tensor]:
    """One iteration on this process's share of the batch: discriminator and generator updates, latent- and reference-guided
    (or one kind, in turn), the averages, the weight of the diversity loss. Returns the losses, without gradient."""
    c = state.config
    state.set_rates()
    if state.line is not None:
        state.line.take(state.likeness)
    kinds = (KINDS[state.iteration % 2],) if c.alternate else KINDS
    # In turn, latent- and reference-guided updates both take their share of R1 and of the cycle.
    turn = state.iteration // (2 if c.alternate else 1)
    with_r1, with_cycle = turn % c.r1_every == 0, turn % c.cyc_every == 0
    warming_up = bool(c.init_from) and state.iteration < c.discriminator_warmup
    chunks = batch.split(c.accumulate)
    # The generator does not change between the discriminator's update and its own first one, so one forward pass serves both,
    # and its encoder's part the other kind as well; but not where the graphs of all parts would have to wait in memory.
    shared = c.accumulate == 1 and not warming_up
    with state.autocast():
        with torch.no_grad():
            heatmaps = [state.heatmaps(chunk.x_real) for chunk in chunks]
        masks = [masks_of(found) for found in heatmaps]
        with torch.set_grad_enabled(shared):
            first = [
                translate(state, chunk.x_real, _style(state, chunk, kinds[0]), m) for chunk, m in zip(chunks, masks, strict=True)
            ]

    def real_or_fake(kind: str) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        """By both discriminators, where there are two: neither gets gradients from the other's loss."""
        for chunk, fake in zip(chunks, first, strict=True):
            image = fake.image.detach()
            if kind != kinds[0]:
                with torch.no_grad(), state.autocast():
                    image = state.generator.synthesize(fake.features, _style(state, chunk, kind), fake.skips).float()
            loss, log = discriminator_loss(state, chunk, image, kind, with_r1)
            if state.projected is not None:
                more, found = projected_loss(state, chunk, image, kind)
                loss, log = loss + more, log | found
            yield loss, log

    def translated(kind: str) -> Iterator[tuple[Tensor, dict[str, Tensor]]]:
        for chunk, fake, seen, m in zip(chunks, first, heatmaps, masks, strict=True):
            if not shared or kind != kinds[0]:
                with state.autocast():
                    fake = translate(state, chunk.x_real, _style(state, chunk, kind), m)
            yield generator_loss(state, chunk, fake, kind, with_cycle, seen)

    log: dict[str, Tensor] = {}
    for kind in kinds:
        found = _step(state, state.judges, real_or_fake(kind))
        log |= {f"D/{kind}_{k}": v for k, v in found.items()}
    for kind in () if warming_up else kinds:
        trained = ("generator", "mapping_network", "style_encoder") if kind == "latent" else ("generator",)
        found = _step(state, trained, translated(kind))
        log |= {f"G/{kind}_{k}": v for k, v in found.items()}
    update_averages(state)
    state.iteration += 1
    weights = {"G/lambda_ds": state.lambda_ds} | ({"G/likeness": state.line.likeness} if state.line is not None else {})
    return log | {k: torch.tensor(v) for k, v in weights.items()}


@torch.no_grad()
def update_averages(state: State) -> None:
    """Exponential moving averages of the parameters; with warm-up, over the run so far while that is short."""
    i, decay = state.iteration, state.config.ema
    if state.config.ema_warmup:
        decay = min(decay, (1 + i) / (10 + i))
    average = get_ema_multi_avg_fn(decay)
    for name, averaged in state.averaged.items():
        average(list(averaged.parameters()), list(state.networks[name].parameters()), i)
