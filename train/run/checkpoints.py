"""What a run continues from, and the models that it exports."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch

from stargan.files import checkpoint, whole
from train.config import TrainingError
from train.step.state import State


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
