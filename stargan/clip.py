"""A clip in other styles: the face followed from frame to frame, translated, and put back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stargan.faces.align import AlignError
from stargan.faces.paste import paste
from stargan.faces.squares import aligner_for
from stargan.faces.track import Tracker
from stargan.media import clips, images, video
from stargan.media.clips import Clip
from stargan.translate import Encoded, Translator

Watch = Callable[[int, int], bool]  # told how many frames of how many are done; False ends it there


def along(styles: Tensor, way: float) -> Tensor:
    """Styles (K, style_dim) -> the one at `way` through them, 0 at the first and 1 at the last, linear from one to the next."""
    place = way * (len(styles) - 1)
    first = min(int(place), len(styles) - 1)
    return torch.lerp(styles[first], styles[min(first + 1, len(styles) - 1)], place - first)


def translate(
    translator: Translator,
    clip: Clip,
    out: Path | str,
    styles: Tensor,
    whole: bool = True,
    encode: Callable[[Image.Image], Encoded] | None = None,
    face: int | None = None,
    aligner: str | None = None,
    watch: Watch | None = None,
) -> int:
    """Writes a clip whose face has the styles (K, style_dim), through which it goes from its start to its end, with its sound.
    Returns the number of frames with a face in them.

    whole: the clip's frames with the face in them; otherwise the aligned squares. A frame without a face stays as it is. encode:
    from a square, by default with masks. face: which, as in `Tracker`. aligner: one of `model.ALIGNERS`, by default the model's.
    watch: ends the clip where it returns False; what is done is kept. VideoError where there is nothing to read or write,
    AlignError for a clip without any face, or without that one where it begins, or that ends before one, which writes
    nothing.
    """
    size, lying = translator.model.config.image_size, translator.model.frame
    how = aligner or aligner_for(translator.model)[0] or "fan-68"  # the face of a clip is sought, whatever the model knows
    tracker = Tracker(face=face)
    seen = 0
    encoder = encode or translator.encode

    def frames() -> Iterator[np.ndarray]:
        nonlocal seen
        for i, frame in enumerate(clip.read()):
            if watch is not None and not watch(i, clip.frames):
                if not seen:
                    raise AlignError("it was stopped before a face was seen, so there is nothing to keep")
                break
            found = tracker.align(frame, size, lying, how)
            if found is None:
                yield np.asarray(frame if whole else images.centre_crop(frame, size))
                continue
            seen += 1
            square, where = found
            style = along(styles, min(1.0, i / max(1, clip.frames - 1)))
            made = images.to_pil(translator.decode(encoder(square), style))
            yield np.asarray(paste(frame, made, where.landmarks, lying) if whole else made)
        if not seen:
            raise AlignError("no face was found in this clip; use one that shows a face from the front")

    video.write(out, frames(), clip.fps, (lambda seconds: clips.sound(clip, seconds)) if clip.has_sound else None)
    return seen
