"""What a run continues from, and the models that it exports."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

import stargan
from stargan.files import checkpoint, whole
from stargan.files.kinds import is_damaged
from stargan.memory import NotEnoughMemory, enough_memory
from stargan.networks import ModelConfig
from train.config import ConfigError, TrainingError, from_mapping
from train.run.start import take_over
from train.step.projected import ProjectedDiscriminator
from train.step.state import State

SWITCHES = {"free": "likeness", "projected": "lambda_proj"}  # settings that a run has a network of its own for
MODEL, BEST = "model.safetensors", "best.safetensors"  # what a run has come to, and the best of it, in its folder
WHOLE = ("networks", "averaged", "optimisers")  # by name, what a checkpoint has to hold
BEFORE = "bf16"  # the precision of runs that did not write it down: it was the default


def checkpoints(folder: Path) -> list[Path]:
    """Those of a run, the newest last."""
    return sorted(folder.glob("checkpoint-*.pt"))


def save(state: State, folder: Path) -> Path:
    """Writes `checkpoint-<iteration>.pt` whole or not at all, keeps the newest `keep` and the best, and exports
    model.safetensors. TrainingError where it cannot be written; what was there before stays."""
    path = folder / f"checkpoint-{state.iteration:07d}.pt"
    content = {
        "iteration": state.iteration,
        "best": state.best,
        "run": facts(state),
        "networks": {k: v.state_dict() for k, v in state.networks.items()},
        "averaged": {k: v.state_dict() for k, v in state.averaged.items()},
        "optimisers": {k: v.state_dict() for k, v in state.optimisers.items()},
    }
    first = not checkpoints(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A run that is killed between the two makes the model again; but one with a model and no checkpoint is not gone on with.
        if not first:
            export(state, folder / MODEL)
        with whole(path) as partial, partial.open("wb") as file:
            torch.save(content, file)
        if first:
            export(state, folder / MODEL)
    # torch.save turns what the file says into a RuntimeError of its own.
    except (OSError, RuntimeError) as error:
        raise TrainingError(
            f"{path} could not be written ({_said(error)}); make room on the disk and call fit again: it continues "
            "from the last whole checkpoint"
        ) from error
    prune(state, folder)
    return path


def prune(state: State, folder: Path) -> None:
    """Removes all checkpoints but the newest `keep` and the best."""
    best = folder / f"checkpoint-{int(state.best.get('iteration', -1)):07d}.pt"
    for old in checkpoints(folder)[: -state.config.keep]:
        if old != best:
            old.unlink()


def export(state: State, path: Path) -> None:
    """Writes the averaged networks as a model, and beside it the discriminator, for whoever trains on from it; both in fp16 and
    without source-only domains."""
    model = state.model(state.config.name)
    checkpoint.save(model, path, dtype=torch.float16)
    checkpoint.save_discriminator(state.judge(), model.config, checkpoint.discriminator_path(path), dtype=torch.float16)


def settle(state: State, folder: Path) -> tuple[str, ...]:
    """Exports the model of a run that is continued where it is missing, and puts the run's licence on what was exported under
    another one, as nothing more may be left to train. Returns the names of these files."""
    if not (folder / MODEL).exists():
        export(state, folder / MODEL)
    licence, changed = state.config.licence, []
    for path in filter(Path.exists, (folder / BEST, folder / MODEL) if licence else ()):
        with contextlib.suppress(checkpoint.CheckpointError):  # damaged: what is exported next takes its place
            model = checkpoint.load(path)
            if licence != model.licence:
                model.licence = licence
                checkpoint.save(model, path, dtype=torch.float16)
                changed.append(path.name)
    return tuple(changed)


def facts(state: State) -> dict[str, Any]:
    """What a checkpoint says about its run: whoever continues it, or takes it for a model, knows the branches by name."""
    c = state.config
    return {
        "name": c.name,
        "domains": list(c.domains),
        "sources": list(c.sources),
        "shape": _shape(c.model),
        "licence": c.licence,
        "data": state.digest,
        "frame": state.frame.tolist() if state.frame is not None else None,
        "aligner": state.aligner,
        "precision": state.precision,
        # What no shape of a weight tells of the model.
        "last_shortcut": c.last_shortcut,
        "subsampled_chroma": c.subsampled_chroma,
        "version": stargan.__version__,
    }


def resume(state: State, folder: Path, accept_changes: bool = False) -> bool:
    """Continues from the newest checkpoint in the folder; False where there is none.

    CheckpointError where it is damaged, or its networks are others; ConfigError where its domains or pictures are others than those
    of this run, or where it has a network more, unless these changes are accepted: then a domain that both know keeps its branch,
    wherever it stands now.
    """
    found = checkpoints(folder)
    if not found:
        return False
    content = _newest(found)
    run: dict[str, Any] = content.get("run", {})
    new = _roles(vars(state.config))
    old = _roles(run or _settings(folder)) or new
    if reshaped := _reshaped(run.get("shape", {}) | run, content, state):
        raise _other(found[-1], reshaped)
    changes, lost = _changes(run.get("data", ""), old, new, state), _lost(content, state)
    if (changes or lost) and not accept_changes:
        raise ConfigError(
            f"{found[-1]} is of a run on something else: {'; '.join(changes + lost)}. Put that back, train under another name, or "
            "go on all the same with --accept-changes"
        )
    try:
        if _moved(old, new):
            _by_name(state, content, tuple(old))
        else:
            _as_it_was(state, content)
    except (RuntimeError, KeyError, ValueError) as error:
        if reshaped := _reshaped(_shape_there(folder), content, state):
            raise _other(found[-1], reshaped) from None
        raise checkpoint.CheckpointError(f"{found[-1]} does not continue this run ({_said(error)}); {elsewhere(folder)}") from None
    if state.config.precision == "auto":
        state.precision = run.get("precision", BEFORE)
    state.iteration, state.best = content["iteration"], {} if changes else content.get("best", {})
    return True


def _newest(found: Sequence[Path]) -> dict[str, Any]:
    """What is in the last of these checkpoints; CheckpointError where that cannot be read or is not all."""
    path = found[-1]
    try:
        with enough_memory("close what else is running, and call fit again"):
            content = None if is_damaged(path) else torch.load(path, weights_only=True, map_location="cpu")
    except NotEnoughMemory:
        raise
    except PermissionError:
        raise checkpoint.CheckpointError(f"{path} must not be read; change its permissions, and call fit again") from None
    except Exception:  # torch promises no set of exceptions for files that are broken
        content = None
    if isinstance(content, dict) and "iteration" in content and all(isinstance(content.get(name), dict) for name in WHOLE):
        return content
    advice = f"remove it, and the run goes on from {found[-2].name}" if len(found) > 1 else elsewhere(path.parent)
    raise checkpoint.CheckpointError(f"{path} does not continue this run: it is cut off or damaged; {advice}")


def elsewhere(folder: Path) -> str:
    """What to do about a run that cannot be continued."""
    model = folder / MODEL
    return "train under another name" + f", with --init-from {model} to start from what this run has come to" * model.exists()


def _said(error: Exception) -> str:
    """The first line of what an error says, or of what kind it is."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _other(path: Path, differing: Sequence[str]) -> checkpoint.CheckpointError:
    """The refusal of a checkpoint of other networks."""
    return checkpoint.CheckpointError(
        f"{path} does not continue this run: {', '.join(differing)}; put that back, or train under another name"
    )


def _roles(settings: Mapping[str, Any]) -> dict[str, str]:
    """What the branches of a run are for, by domain and in their order; empty where nobody has written them down."""
    return dict.fromkeys(settings.get("domains", ()), "a target") | dict.fromkeys(settings.get("sources", ()), "source-only")


def _settings(folder: Path) -> dict[str, Any]:
    """Those that the run was last started with; none where that cannot be read."""
    try:
        return dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def _shape(model: ModelConfig) -> dict[str, Any]:
    """All that a run cannot change of its networks."""
    return {name: value for name, value in dataclasses.asdict(model).items() if name not in ("domains", "mask_sizes")}


def _shape_there(folder: Path) -> dict[str, Any]:
    """The shape that the run was last started with; empty where that cannot be read."""
    try:
        return _shape(from_mapping(_settings(folder)).model)
    except ValueError:
        return {}


def _reshaped(before: Mapping[str, Any], content: dict[str, Any], state: State) -> list[str]:
    """What of the networks is another than in the checkpoint, and than was written down before, in words."""
    had, after = content["networks"], _shape(state.config.model)
    new = [f"{SWITCHES[name]} was off and is on" for name in state.networks if name in SWITCHES and name not in had]
    other = [name for name in after if before.get(name, after[name]) != after[name]]
    return new + [f"{name} was {before[name]} and is {after[name]}" for name in other]


def _lost(content: dict[str, Any], state: State) -> list[str]:
    """Which trained networks the checkpoints of this run would not have any more, in words."""
    gone = [name for name in SWITCHES if name in content["networks"] and name not in state.networks]
    return [f"{SWITCHES[name]} was on and is off, which loses the network that was trained for it" for name in gone]


def _changes(data: str, old: Mapping[str, str], new: Mapping[str, str], state: State) -> list[str]:
    """What is another than it was, a sentence each. data: the digest of the pictures, empty where nobody has written it down."""
    found = []
    gone, come = [d for d in old if d not in new], [d for d in new if d not in old]
    turned = [f"{d} was {old[d]} and would be {new[d]}" for d in new if old.get(d, new[d]) != new[d]]
    if gone or come:
        words = [f"{', '.join(gone)} would be gone"] * bool(gone) + [f"{', '.join(come)} would be new"] * bool(come)
        found.append(f"of its domains ({', '.join(old)}) " + ", and ".join(words))
    elif list(old) != list(new) and not turned:
        found.append(f"its domains are in the order {', '.join(old)}, and not {', '.join(new)}")
    found += turned
    if data and state.digest and data != state.digest:
        found.append(f"the pictures in {state.config.data} are not those that it has seen")
    return found


def _moved(old: Mapping[str, str], new: Mapping[str, str]) -> bool:
    """Whether branches have to move, or serve for something else: not where domains have kept their places, even under other
    names."""
    pairs = zip(old, new, strict=False)
    return len(old) != len(new) or any((a != b and (a in new or b in old)) or old[a] != new[b] for a, b in pairs)


def _as_it_was(state: State, content: dict[str, Any]) -> None:
    """Takes over all of a checkpoint, each branch in its place."""
    for name, net in state.networks.items():
        net.load_state_dict(content["networks"][name])
    for name, net in state.averaged.items():
        net.load_state_dict(content["averaged"][name])
    for name, optimiser in state.optimisers.items():
        optimiser.load_state_dict(content["optimisers"][name])
        # The checkpoint brings the moments; the settings are those of the configuration.
        for group in optimiser.param_groups:
            group |= {k: v for k, v in optimiser.defaults.items() if k in ("lr", "betas", "weight_decay")}


def _by_name(state: State, content: dict[str, Any], old: tuple[str, ...]) -> None:
    """Takes over a checkpoint of other domains, each branch by its name; the optimisers begin anew."""
    new, shape = state.config.model.domains, dataclasses.replace(state.config.model, domains=old)
    for held, nets in (("networks", state.networks), ("averaged", state.averaged)):
        for name, net in nets.items():
            values = content[held][name]
            if isinstance(net, ProjectedDiscriminator):  # of source-only domains, which come last, it has no branches
                branches = len(values["heads.0.5.bias"])
                before: nn.Module = ProjectedDiscriminator(branches)
                before.load_state_dict(values)
                take_over(net, before, state.config.domains, old[:branches])
                continue
            before = type(net)(shape)
            before.load_state_dict(values)
            take_over(net, before, new, old)
