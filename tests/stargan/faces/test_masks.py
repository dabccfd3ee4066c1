from __future__ import annotations

import pytest
import torch

from stargan.faces.masks import PARTS, combine, face_masks, part_masks


def heatmaps(points: dict[int, tuple[int, int]], landmarks: int = 68, side: int = 32) -> torch.Tensor:
    """A peak of 1 at (row, column) for each landmark named, nothing elsewhere."""
    maps = torch.zeros(1, landmarks, side, side)
    cells = torch.arange(side)
    for landmark, (row, column) in points.items():
        maps[0, landmark] = torch.exp(-((cells - column) ** 2 + (cells[:, None] - row) ** 2) / 2.0)
    return maps


def peak(mask: torch.Tensor) -> tuple[int, int]:
    return divmod(int(mask[0, 0].argmax()), mask.shape[-1])


@pytest.mark.parametrize(("landmark", "part"), [(38, "eyes"), (19, "brows"), (30, "nose"), (51, "mouth"), (8, "jaw")])
def test_a_landmark_marks_its_part_alone(landmark: int, part: str) -> None:
    parts = part_masks(heatmaps({landmark: (16, 20)}))
    assert parts[part].max() > 0.5
    assert all(parts[other].max() == 0 for other in PARTS if other != part)
    assert abs(peak(parts[part])[1] - 80) < 6  # the column stays, 4 px a cell


def test_the_inner_mask_has_eyes_and_nose_only() -> None:
    everywhere = heatmaps({38: (12, 10), 30: (18, 16), 51: (24, 16), 8: (29, 16), 19: (8, 10)})
    full, inner = face_masks(everywhere)
    assert full.shape == inner.shape == (1, 1, 128, 128)
    assert inner[0, 0, 90:].max() == 0 < full[0, 0, 90:].max()
    assert (inner <= full + 1e-6).all()
    assert full.min() >= 0 and full.max() <= 1


def test_weights_scale_their_part() -> None:
    parts = part_masks(heatmaps({8: (26, 16), 38: (12, 10)}))
    full, inner = combine(parts, {"jaw": 0.25})
    assert full[0, 0, 95:].max() == pytest.approx(0.25 * parts["jaw"].max().item(), rel=1e-4)
    assert torch.equal(inner, combine(parts)[1])
    none, _ = combine(parts, dict.fromkeys(PARTS, 0.0))
    assert none.max() == 0


def test_wrong_weights_and_landmarks_are_refused() -> None:
    parts = part_masks(heatmaps({8: (26, 16)}))
    with pytest.raises(ValueError, match="ears"):
        combine(parts, {"ears": 1.0})
    with pytest.raises(ValueError, match="jaw"):
        combine(parts, {"jaw": -1.0})
    with pytest.raises(ValueError, match="5"):
        part_masks(torch.zeros(1, 5, 32, 32))


def test_nan_heatmaps_leave_a_finite_mask() -> None:
    full, inner = face_masks(torch.full((1, 98, 64, 64), float("nan")))
    assert torch.isfinite(full).all() and torch.isfinite(inner).all()
