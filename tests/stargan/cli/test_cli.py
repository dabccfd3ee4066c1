"""The command line, run as a process."""

import io
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from command import refused, run
from material import portrait
from PIL import Image

from stargan.cli.main import VERBS, main
from stargan.files import places
from stargan.media import images
from tests.processes import NOTHING, forked


def translation(*arguments, source="source.png", out="out.png"):
    return ("translate", source, "--model", "small.safetensors", "--no-align", "-o", out, *arguments)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.mark.slow
def test_seed_decides_the_picture(folder, call):
    for name, seed in (("a.png", 3), ("b.png", 3), ("c.png", 4)):
        arguments = translation("--domain", "woman", "--seed", seed, out=name)
        result = run(*arguments, cwd=folder) if name == "b.png" else call(*arguments)
        assert result.returncode == 0, result.stderr
        assert result.stdout.count("\n") == 1 and name in result.stdout and " s" in result.stdout
    a, b, c = (pixels(folder / name) for name in ("a.png", "b.png", "c.png"))
    assert a.shape == (64, 64, 3) and a.std() > 0
    assert np.array_equal(a, b) and not np.array_equal(a, c)


def test_psi_0_forgets_the_seed(folder, call):
    for name, seed in (("p.png", 3), ("q.png", 4)):
        assert call(*translation("--domain", "woman", "--seed", seed, "--psi", 0, out=name)).returncode == 0
    assert np.array_equal(pixels(folder / "p.png"), pixels(folder / "q.png"))


def test_psi_is_the_strength_of_references_too(folder, call):
    one, several = ("--domain", "woman", "--reference"), ("--domain", "woman", "--reference", "reference.png", "source.png")
    for psi in (0, 0.5, 1):
        assert call(*translation(*one, "reference.png", "--psi", psi, out=f"psi-{psi}.png")).returncode == 0
    mean, half, whole = (pixels(folder / f"psi-{psi}.png") for psi in (0, 0.5, 1))
    assert call(*translation("--domain", "woman", "--seed", 3, "--psi", 0, out="mean.png")).returncode == 0
    assert call(*translation(*one, "reference.png", out="plain.png")).returncode == 0
    assert np.array_equal(mean, pixels(folder / "mean.png")) and np.array_equal(whole, pixels(folder / "plain.png"))
    assert not np.array_equal(half, mean) and not np.array_equal(half, whole)
    result = call(*translation(*several, "--psi", 0, out="psi-many"))
    assert result.returncode == 0, result.stderr
    written = [pixels(path) for path in (folder / "psi-many").glob("source--*.png")]
    assert len(written) == 2 and np.array_equal(*written)


def test_reference_decides_the_style(folder, call):
    for name, reference in (("r.png", "reference.png"), ("s.png", "source.png")):
        result = call(*translation("--domain", "orc", "--reference", reference, "--no-masks", out=name))
        assert result.returncode == 0, result.stderr
    assert not np.array_equal(pixels(folder / "r.png"), pixels(folder / "s.png"))


@pytest.mark.parametrize("name,kind", [("o.jpg", "JPEG"), ("o.JPEG", "JPEG"), ("o.webp", "WEBP"), ("o.png", "PNG")])
def test_extension_decides_the_format(folder, call, name, kind):
    assert call(*translation("--domain", "man", "--seed", 0, out=name)).returncode == 0
    with Image.open(folder / name) as image:
        assert (image.format, image.size) == (kind, (64, 64))


SEED = ("--domain", "man", "--seed", "1")


@pytest.mark.parametrize(
    "arguments,changes,words",
    [
        (SEED, {"source": "nowhere.png"}, ["nowhere.png"]),
        (SEED, {"source": "text.png"}, ["text.png"]),
        (SEED, {"out": "out.gif"}, ["out.gif", ".png"]),
        (SEED, {"out": "out"}, [".png"]),
        (SEED, {"out": "missing/out.png"}, ["missing"]),
        (SEED, {"out": "./source.png"}, ["source.png is what it is to be made of", "another name"]),
        (("--domain", "man", "--reference", "reference.png"), {"out": "reference.png"}, ["reference.png is what it is"]),
        ((*SEED, "--model", "nothing"), {}, ["nothing"]),
        ((*SEED, "--model", ""), {}, ["no model"]),
        ((*SEED, "--model", "source.png"), {}, ["source.png"]),
        (("--domain", "elf", "--seed", "1"), {}, ["elf", "man, orc, woman"]),
        (("--domain", "man"), {}, ["--seed", "--reference"]),
        (("--seed", "1"), {}, ["--domain"]),
        ((*SEED, "--reference", "reference.png"), {}, ["--reference"]),
        (("--domain", "man", "--reference", "text.png"), {}, ["text.png"]),
        (("--domain", "man", "--reference", "reference.png", "--psi", "-1"), {}, ["--psi"]),
        (("--domain", "man", "--seed", "-1"), {}, ["--seed"]),
        (("--domain", "man", "--seed", str(2**63)), {}, ["--seed"]),
        (("--domain", "man", "--seed", "x"), {}, ["--seed"]),
        ((*SEED, "--psi", "2.5"), {}, ["--psi"]),
        ((*SEED, "--psi", "nan"), {}, ["--psi"]),
    ],
)
def test_bad_input_is_one_sentence(call, arguments, changes, words):
    refused(call(*translation(*arguments, **changes)), *words)


@pytest.mark.parametrize(
    "arguments",
    [("--domain", "man", "--seed", "1", "source.png"), ("--domain", "man", "--reference", "reference.png", "source.png")],
)
def test_a_source_that_an_option_takes_for_its_own(call, arguments):
    refused(call("translate", "-o", "out.png", *arguments), "before the options, or after --")


def test_bad_align_and_no_command(folder, call):
    refused(call("align", "source.png", "--size", "9", "-o", "o.png"), "--size")
    refused(call("align", "nowhere.png", "-o", "o.png"), "nowhere.png")
    refused(run(cwd=folder), "COMMAND")


def test_failed_command_writes_nothing(folder, call):
    before = sorted(os.listdir(folder))
    refused(call(*translation("--domain", "elf", "--seed", "1", out="new.png")))
    assert sorted(os.listdir(folder)) == before


@pytest.mark.parametrize("arguments", [(), *((verb.__name__.rpartition(".")[2],) for verb in VERBS)])
def test_help(call, arguments):
    result = call(*arguments, "--help")
    assert result.returncode == 0 and "usage" in result.stdout and result.stderr == ""


def test_output_that_is_closed_unread_or_in_another_encoding(folder, monkeypatch):
    monkeypatch.chdir(folder)
    name = os.fsdecode(b"lat\xe9.png")
    Image.open("source.png").save(name)

    def returned(stream, *arguments):
        with monkeypatch.context() as here:
            here.setattr(sys, "stdout", stream)
            here.setattr(sys, "stderr", None)
            return main([*map(str, arguments)])

    strict = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    assert returned(strict, "faces", name) == 0 and b"lat\\udce9.png: 0 faces" in strict.buffer.getvalue()
    assert returned(None, *translation("--domain", "man", "--seed", 1, 2, out="unseen")) == 0
    assert len(made(folder / "unseen")) == 2
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as unread:
        assert returned(unread, "faces", "source.png") == 141


@pytest.mark.slow
def test_help_and_package_need_no_heavy_imports_and_tell_nobody(tmp_path):
    code = (
        "import sys, stargan.__main__ as m\n"
        "try: m.main(['translate', '--help'])\n"
        "except SystemExit: pass\n"
        "assert not {'torch', 'gradio', 'face_alignment', 'cv2', 'av'} & set(sys.modules)\n"
        "import stargan.files.checkpoint, stargan.zoo, stargan.translate\n"
        "assert not {'gradio', 'face_alignment'} & set(sys.modules)\n"
        "stargan.zoo.load(stargan.zoo.DEFAULT)\n"
        "assert 'torch._dynamo' not in sys.modules, 'PyTorch has loaded its compiler'\n"
        "import onnxruntime\n"
    )
    home = {name: str(tmp_path) for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")}
    environment = {**os.environ, "PYTHONPATH": str(places.ROOT), **home}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert not list(tmp_path.rglob("*onnxruntime*")), "ONNX Runtime keeps a number for this machine, and sends what it sees"


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Six pictures, one of them broken, one in a folder of its own."""
    pictures = tmp_path_factory.mktemp("pictures")
    (pictures / "deep").mkdir()
    for i, name in enumerate(("a.png", "b.png", "c.jpg", "d.webp", "deep/a.png")):
        portrait(i).save(pictures / name)
    (pictures / "broken.png").write_bytes((pictures / "a.png").read_bytes()[:900])
    return pictures


def many(source, out, *arguments):
    return ("translate", source, "--model", "small.safetensors", "--domain", "orc", "--no-align", "-o", out, *arguments)


def made(out):
    return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in out.rglob("*--*")}


WHOLE = {f"{name}--seed-{n}.png" for name in ("a", "b", "c", "d", "deep/a") for n in (1, 2)}


@pytest.mark.slow
def test_folder_into_folder(folder, pictures, tmp_path, call):
    out = tmp_path / "out"
    first = run(*many(pictures, out, "--seed", 1, 2, "--grid"), cwd=folder)
    assert first.returncode == 1 and "Traceback" not in first.stderr
    assert "5 of 6 sources" in first.stdout and "1 failed" in first.stdout and "broken.png: broken.png is" in first.stderr
    assert set(made(out)) == WHOLE
    assert pixels(out / "grid.png").shape == (64 * 6, 64 * 3, 3)
    before = made(out)
    second = call(*many(pictures, out, "--seed", 1, 2))
    assert second.returncode == 1 and "0 of 6 sources" in second.stdout and "5 were there" in second.stdout
    assert made(out) == before
    refused(call(*many(pictures, out, "--seed", 1, 2, "--psi", 0.5)), "another psi", "--overwrite")
    refused(call(*many(pictures, out, "--seed", 1, 2, "--no-masks")), "another masks", "--overwrite")
    refused(call(*many(pictures, out, "--seed", 1, 3)), "another styles", "--overwrite")
    refused(call(*many(pictures / "deep", out, "--seed", 1, 2)), "another sources", "--overwrite")
    assert made(out) == before
    anew = call(*many(pictures, out, "--seed", 1, 2, "--psi", 0.5, "--overwrite"))
    after = made(out)
    assert "5 of 6 sources" in anew.stdout and set(after) == WHOLE and all(after[name] > before[name] for name in WHOLE)


def test_several_references(folder, pictures, tmp_path, call):
    out = tmp_path / "out"
    result = call(*many("source.png", out, "--reference", "reference.png", pictures / "deep", "text.png", "--grid"))
    assert result.returncode == 1 and "text.png" in result.stderr
    assert set(made(out)) == {"source--reference.png", "source--a.png"}
    grid = pixels(out / "grid.png")
    assert grid.shape == (128, 192, 3)
    assert np.array_equal(grid[:64, 128:], images.centre_crop(images.read(pictures / "deep" / "a.png"), 64))
    assert call(*many("source.png", folder / "one.png", "--reference", "reference.png")).returncode == 0
    assert np.abs(pixels(folder / "one.png").astype(int) - pixels(out / "source--reference.png")).max() <= 1


@pytest.mark.slow
def test_killed_then_completed(folder, tmp_path, call):
    out, count = tmp_path / "out", 150
    (tmp_path / "in").mkdir()
    for i in range(count):
        portrait(i, 64).save(tmp_path / "in" / f"{i}.png")
    arguments = many(tmp_path / "in", out, "--seed", 1, 2)
    environment = {**os.environ, "PYTHONPATH": str(places.ROOT)}
    process = forked(["-m", "stargan", *map(str, arguments)], folder, environment, NOTHING, NOTHING)
    deadline = time.monotonic() + 120
    while len(made(out)) < 9 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    process.wait()
    before = made(out)
    assert 9 <= len(before) < 2 * count
    assert all(pixels(out / name).shape == (64, 64, 3) for name in before)
    result = call(*arguments)
    after = made(out)
    assert result.returncode == 0 and len(after) == 2 * count and before.items() <= after.items()


@pytest.mark.slow
def test_processes_of_accelerate_share_the_sources(folder, pictures, tmp_path, call, monkeypatch):
    out = tmp_path / "out"
    first = run(*many(pictures, out, "--seed", 1, 2), cwd=folder, RANK="0", WORLD_SIZE="2")
    half = set(made(out))
    assert "of 3 sources" in first.stdout and 0 < len(half) < len(WHOLE)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    second = call(*many(pictures, out, "--seed", 1, 2))
    assert "of 3 sources" in second.stdout and "0 were there" in second.stdout and set(made(out)) == WHOLE
    assert sorted((first.returncode, second.returncode)) == [0, 1]
    refused(call(*many(pictures, out, "--seed", 1, 2, "--grid")), "--grid")


def test_bad_batch_is_one_sentence(pictures, tmp_path, call):
    (tmp_path / "empty").mkdir()
    for source, out, words in (
        (pictures, "out.png", "folder"),
        (pictures, "small.safetensors", "folder"),
        (pictures, pictures, "another folder"),
        (tmp_path / "empty", tmp_path / "out", "no pictures"),
    ):
        refused(call(*many(source, out, "--seed", 1)), words)
    refused(call(*many("source.png", tmp_path / "out", "--reference", "text.png", "nowhere.png")), "nowhere.png")
    refused(call(*many("source.png", tmp_path / "out", "--reference", "text.png", "text.png", "--grid")), "text.png")
    refused(call(*many(pictures, tmp_path / "out", "--seed", 1, "--workers", 0)), "--workers")
    assert not (tmp_path / "out").exists()
