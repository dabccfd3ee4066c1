"""ZeroGPU, with a `spaces` package that forks a process for each call as the real one does."""

import json
import os

import pytest
from material import TINY_FAN, portrait

from stargan.files import checkpoint, places
from stargan.model import build
from stargan.networks import ModelConfig
from stargan.ui import zero
from tests.processes import ran

ROOT = places.ROOT

SPACES = """
import functools, inspect, multiprocessing, threading

fork = multiprocessing.get_context("fork")
calls = []


def GPU(task=None, duration=None):
    if task is None:
        return functools.partial(GPU, duration=duration)

    def results(arguments, keywords):
        here, there = fork.Pipe()
        taken = fork.SimpleQueue()

        def work():
            arguments, keywords = taken.get()
            try:
                made = task(*arguments, **keywords)
                for value in made if inspect.isgenerator(made) else [made]:
                    there.send((None, value))
                there.send((None, StopIteration))
            except Exception as error:
                there.send((error, None))

        def process():
            thread = threading.Thread(target=work)
            thread.start()
            thread.join()

        calls.append([task.__name__, duration])
        child = fork.Process(target=process, daemon=True)
        child.start()
        taken.put((arguments, keywords))
        while True:
            error, value = here.recv()
            if error is not None:
                raise error
            if value is StopIteration:
                break
            yield value
        child.join()

    if inspect.isgeneratorfunction(task):
        @functools.wraps(task)
        def generator(*arguments, **keywords):
            yield from results(arguments, keywords)
        return generator

    @functools.wraps(task)
    def function(*arguments, **keywords):
        return list(results(arguments, keywords))[-1]
    return function
"""

PAGE = """
import json, sys, threading
from stargan import ui
from stargan.ui import studio
from gradio_client import Client, handle_file
import spaces

studios = []
made = studio.Studio.__init__
studio.Studio.__init__ = lambda self, *a, **k: (made(self, *a, **k), studios.append(self))[0]
demo = ui.build("small.safetensors").queue()
_, url, _ = demo.launch(prevent_thread_lock=True, quiet=True)
client = Client(url, verbose=False, analytics_enabled=False)
source = handle_file("source.png")
out = {}
(_, after), *_, status, style = client.predict(source=source, aligned=False, api_name="/translate")
out["status"] = status
ends = {"reference_a": None, "reference_b": None, "aligned": False}
client.predict(source=source, **ends, api_name="/interpolate")
client.predict(source=source, **ends, api_name="/strip")
video = client.predict(source=source, seconds=0.2, **ends, api_name="/video")
out["video"] = open(video, "rb").read(8)[4:].decode()
_, out["grid"] = client.predict(sources=[source, source], references=None, aligned=False, api_name="/grid")
try:
    client.predict(source=None, reference=None, api_name="/translate")
except Exception as error:
    out["error"] = str(error)
out["calls"] = spaces.calls
out["translators"] = ["translator" in vars(s) for s in studios]
out["timers"] = [t.name for t in threading.enumerate() if isinstance(t, threading.Timer)]
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("zero")
    config = ModelConfig(image_size=64, domains=("a", "b"), hidden_dim=24, base_channels=4, max_channels=16, w_hpf=1.0)
    model = build(config, TINY_FAN)
    checkpoint.save(model, folder / "small.safetensors")
    portrait(0).save(folder / "source.png")
    (folder / "spaces.py").write_text(SPACES)
    (folder / "page.py").write_text(PAGE)
    return folder


@pytest.mark.slow
def test_page_gives_its_work_to_other_processes(folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SPACES_ZERO_GPU": "true", "GRADIO_ANALYTICS_ENABLED": "False"}
    result = ran(["page.py"], folder, environment, anew=("stargan", "train"))
    assert result.returncode == 0, result.stderr
    out = json.loads(result.stdout.splitlines()[-1])
    names = [name for name, _ in out["calls"]]
    assert names == ["picture", "overlay", "picture", "steps", "frames", "sheets", "picture"]
    assert all(0 < seconds <= 60 for _, seconds in out["calls"])
    assert "eager" in out["status"] and out["video"] == "ftyp" and out["grid"] == "2 of 2 sources"
    assert out["error"].startswith("There is no source yet")
    # Nothing was translated, tuned or compiled in the page's own process.
    assert out["translators"] == [False] and out["timers"] == []


def test_gpu_is_in_the_other_process(monkeypatch):
    assert zero.device() == "auto"
    monkeypatch.setattr(zero, "ACTIVE", True)
    assert zero.device() == "cpu"
    monkeypatch.setattr(zero, "PAGE", zero.PAGE + 1)
    assert zero.device() == "auto"


def test_without_spaces_nothing_changes(monkeypatch):
    monkeypatch.setattr(zero, "spaces", None)
    assert zero.gpu(seconds=5)(portrait) is portrait
