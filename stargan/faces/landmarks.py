"""Where the landmarks of faces come from: the bundled 68-point FAN, or the face_alignment package."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stargan.fan import FAN, FANConfig
from stargan.files import places
from stargan.files.checkpoint import load_fan


def fan68_folder() -> Path:
    """Where the bundled FAN and what belongs to it lies."""
    return places.weights() / "fan-68"


@functools.lru_cache(maxsize=1)
def load_fan68() -> FAN:
    """The bundled 68-point FAN, in eval mode; CheckpointError where its file is missing or broken."""
    return load_fan(fan68_folder() / "fan.safetensors")


class FANUnavailable(ValueError):
    """The face_alignment package or its weights cannot be had; the sentence says what serves instead."""


@functools.lru_cache(maxsize=1)
def load_face_alignment() -> Any:
    """The face_alignment package's aligner (detector and 2DFAN-4, arXiv 1703.07332), which fetches its weights itself.

    FANUnavailable where the package is not installed or its weights can be neither found nor fetched.
    """
    try:
        import face_alignment

        return face_alignment.FaceAlignment(face_alignment.LandmarksType.TWO_D, device="cpu", compile=False)
    except ImportError:
        raise FANUnavailable("face-alignment is not installed; install it, or use the bundled 68-point FAN") from None
    except (OSError, RuntimeError, ValueError, EOFError) as error:
        # urllib's and torch.hub's network errors are OSErrors, a hash that differs a RuntimeError.
        raise FANUnavailable(
            f"face-alignment could not load its weights ({error}); connect to the network once, or use the bundled 68-point FAN"
        ) from None


def face_alignment_here() -> bool:
    """Whether the face_alignment package is installed and its weights lie where it looks for them: nothing would be fetched."""
    try:
        from face_alignment.api import models_urls
        from face_alignment.detection.sfd.sfd_detector import models_urls as detectors
    except ImportError:
        return False
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    urls = models_urls.get("2DFAN-4", ""), detectors.get("s3fd", "")
    return all(url and (folder / url.rpartition("/")[2]).is_file() for url in urls)


class FaceAlignmentFAN(nn.Module):
    """2DFAN-4 of the face_alignment package, with the face of `FAN`: aligned images to 68 heatmaps of 64 x 64."""

    config = FANConfig(landmarks=68)

    def __init__(self, network: nn.Module | None = None) -> None:
        super().__init__()
        self.network = network if network is not None else load_face_alignment().face_alignment_net

    def forward(self, image: Tensor) -> Tensor:
        """(N, 3, H, W) in [-1, 1] -> (N, 68, 64, 64)."""
        x = F.interpolate(image, size=(256, 256), mode="bilinear")
        heatmaps = self.network(x * 0.5 + 0.5)
        return heatmaps[-1] if isinstance(heatmaps, list | tuple) else heatmaps
