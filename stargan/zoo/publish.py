"""A Space of the page: what it consists of, whether that starts on its own, and the way to the Hub."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from stargan import zoo
from stargan.files import places

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SINGLE = ("app.py", "requirements.txt", "LICENSE", "docs/architecture.md")
SOURCES = {"stargan": (".py", ".css"), "train": (".py", ".yaml"), "weights": (".safetensors", ".json", ".md", ".jpg", ".png")}
LARGE = ".safetensors"  # goes by LFS
# By the first line a folder is known that this has written, and that it may write anew.
MARK = "# Written by `python -m stargan publish`, which may write this folder anew."
ATTRIBUTES = f"{MARK}\n*{LARGE} filter=lfs diff=lfs merge=lfs -text\n"
OURS = "stargan/networks.py"  # what every Space has that was published like this
PATIENCE = 300.0  # seconds that a page may take to come up


class PublishError(ValueError):
    """A Space that cannot be made, does not start, or cannot be uploaded; the sentence says what to do."""


@dataclass(frozen=True)
class Space:
    """An assembled folder. files: sizes in bytes by path, in order. licence: of the weights that are shown first."""

    folder: Path
    model: str
    licence: str
    card: dict[str, object]
    files: dict[str, int]

    def plan(self) -> str:
        """What goes up, a file a line."""
        by_lfs = sum(size for path, size in self.files.items() if path.endswith(LARGE))
        lines = [
            f"shows first: {self.model} (licence of its weights: {self.licence or 'not said in the file'})",
            ", ".join(f"{key}: {self.card.get(key)}" for key in ("sdk", "sdk_version", "python_version", "app_file", "license")),
            *(f"{_size(n)}  {path}{'  by LFS' if path.endswith(LARGE) else ''}" for path, n in self.files.items()),
            f"{_size(sum(self.files.values()))}  in {len(self.files)} files, {_size(by_lfs).strip()} by LFS, "
            f"in {os.path.relpath(self.folder)}",
        ]
        return "\n".join(lines)


def repository(name: str) -> str:
    """The name, where it can be a Space's: user/name; PublishError otherwise."""
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    with contextlib.suppress(HFValidationError):
        validate_repo_id(name)
        if name.count("/") == 1:
            return name
    raise PublishError(
        f"{name!r} cannot be the name of a Space; write user/name with letters, digits, and single -, _ or . between them"
    )


def assemble(folder: Path, model: str = zoo.DEFAULT) -> Space:
    """Writes into `folder` what a Space consists of that shows `model` first, a bundled one or one that was trained here.

    PublishError for another model, for a folder that holds something else, and where it cannot be written.
    """
    folder = folder.absolute()
    _check_target(folder)
    sources, licence = _sources(model)
    readme, card = _readme(licence, sources)
    models = [model, *(name for name in zoo.bundled() if name != model)]
    texts = {
        ".gitattributes": ATTRIBUTES,
        "README.md": readme,
        "weights/models.json": json.dumps(models),
    }
    partial = folder.with_name(f".{folder.name}.part")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        for path, source in sources.items():
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, partial / path)
        for path, text in texts.items():
            (partial / path).write_text(text, encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(partial, folder)
    except OSError as error:
        raise PublishError(f"{folder} cannot be written ({error.strerror or error}); choose another one with --out") from None
    files = {path: (folder / path).stat().st_size for path in sorted({*sources, *texts})}
    return Space(folder, model, licence, card, files)


def _sources(model: str) -> tuple[dict[str, Path], str]:
    """Which file here stands at which path of the Space, and the licence of the model that is shown first."""
    models = zoo.available()
    if model in zoo.PUBLISHED and model not in models:
        licence = zoo.PUBLISHED[model].licence
        raise PublishError(f"{model} is its authors' to hand on, under {licence}; publish one of {', '.join(models)}")
    if model not in models:
        raise PublishError(f"there is no model {model!r} here that could be published; choose one of {', '.join(models)}")
    found = {name: places.ROOT / name for name in SINGLE}
    if missing := [name for name, path in found.items() if not path.is_file()]:
        raise PublishError(f"a Space is made of the repository, and {places.ROOT} has no {missing[0]}; publish from a clone of it")
    for top, kinds in SOURCES.items():
        for path in sorted((places.ROOT / top).rglob("*")):
            inner = path.relative_to(places.ROOT)
            if path.is_file() and path.suffix in kinds and not any(part.startswith((".", "__pycache__")) for part in inner.parts):
                found[inner.as_posix()] = path
    file, target = models[model], f"weights/{model}"
    if f"{target}/{file.name}" not in found:
        found[f"{target}/model{LARGE}"] = file
        if (card := file.with_name("README.md")).is_file():
            found |= {f"{target}/README.md": card, **_pictures(card, target)}
    return found, zoo.load(model).licence


def _readme(licence: str, sources: dict[str, Path]) -> tuple[str, dict[str, object]]:
    """README with the front matter of this Space, whose pictures join the sources, and that front matter."""
    path = places.ROOT / "README.md"
    match = re.match(r"---\n(.*?\n)---\n", path.read_text(encoding="utf-8"), re.DOTALL)
    if match is None:
        raise PublishError(f"{path} has no front matter, by which the Hub knows a Space; put it back")
    card = yaml.safe_load(match[1]) | {
        "sdk": "gradio",
        "sdk_version": metadata.version("gradio"),
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "app_file": "app.py",
    }
    # The strictest licence is the one that the whole can be used under.
    if re.search(r"\bNC\b|non-?commercial", licence, re.IGNORECASE):
        known = re.fullmatch(r"CC (BY-NC(?:-SA|-ND)?) (\d\.\d)", licence)
        card["license"] = f"cc-{known[1]}-{known[2]}".lower() if known else "other"
    sources |= {"README.md": path, **_pictures(path, "")}
    text = yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{text}---\n{match.string[match.end() :]}", card


def _pictures(page: Path, folder: str) -> dict[str, Path]:
    """The files that a page shows, by where they stand when the page is in that folder of the Space."""
    found = {}
    for name in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in name:
            if not (page.parent / name).is_file():
                raise PublishError(f"{page} shows {name}, which is not there; put it back, or take it out of the page")
            found[f"{folder}/{name}".lstrip("/")] = page.parent / name
    return found


def _check_target(folder: Path) -> None:
    mark = folder / ".gitattributes"
    ours = mark.is_file() and mark.read_text(errors="replace").startswith(MARK) and not (folder / ".git").exists()
    if folder.exists() and not (folder.is_dir() and (ours or not any(folder.iterdir()))):
        raise PublishError(f"{folder} holds something else; give an empty or a new folder with --out")


def check(space: Space, how: str = "fresh") -> float:
    """Starts the page from its folder alone and translates a picture there; returns the seconds until it was up.

    how: with the packages that its requirements.txt brings into a `fresh` environment, which is removed afterwards, or with those
    that are `here`. PublishError with the end of its log where it does not work.
    """
    with tempfile.TemporaryDirectory(prefix="stargan-", ignore_cleanup_errors=True) as work:
        python = sys.executable
        if how == "fresh":
            python = _environment(space, Path(work))
        return _start(space, python, Path(work))


def _environment(space: Space, work: Path) -> str:
    bin_ = work / "venv" / ("Scripts" if os.name == "nt" else "bin")
    pip = [str(bin_ / "python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", str(work / "venv")],
        [*pip, "-r", "requirements.txt", f"gradio=={space.card['sdk_version']}"],
    ):
        done = subprocess.run(
            command, cwd=space.folder, env=_alone(work), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode:
            raise PublishError(
                f"requirements.txt cannot be installed into a fresh environment ({_tail(done.stdout)}); "
                "mend that, or start the page in this one with --check here"
            )
    return str(bin_ / "python")


def _alone(work: Path) -> dict[str, str]:
    """This environment without what would make the page find, or be, something else."""
    others = ("PYTHONPATH", "SPACE_ID", "STARGAN_", "GRADIO_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    ours = {"PYTHONDONTWRITEBYTECODE": "1", "GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(work / "gradio")}
    return kept | ours | {"STARGAN_TRAIN": "0", "STARGAN_COMPILE": "0", "STARGAN_CACHE": str(work / "cache")}


def _start(space: Space, python: str, work: Path) -> float:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = work / "log"
    start = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [python, "-s", "app.py", "--host", "127.0.0.1", "--port", str(port)],
            cwd=space.folder, env=_alone(work), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
        try:
            while not _answers(f"http://127.0.0.1:{port}"):
                if process.poll() is not None or time.monotonic() - start > PATIENCE:
                    raise PublishError(f"app.py does not start from {space.folder} alone: {_tail(log.read_text(errors='replace'))}")
                time.sleep(0.2)
            seconds = time.monotonic() - start
            try:
                _translate(space, f"http://127.0.0.1:{port}", work)
            except Exception as error:  # Gradio's client passes on whatever went wrong over there.
                said = _tail(f"{error} {log.read_text(errors='replace')}")
                raise PublishError(f"the page of {space.folder} starts, but does not translate: {said}") from None
            return seconds
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}/config", timeout=10) as answer:
            return any(call.get("api_name") == "translate" for call in json.load(answer)["dependencies"])
    except OSError:
        return False


def _translate(space: Space, url: str, work: Path) -> None:
    from gradio_client import Client, handle_file
    from PIL import Image

    picture = next(path for path in space.files if path.endswith(".jpg"))
    client = Client(url, verbose=False, analytics_enabled=False, download_files=str(work / "results"))
    try:
        (_, result), *_ = client.predict(source=handle_file(space.folder / picture), reference=None, api_name="/translate")
        Image.open(result).load()
    finally:
        client.close()


def _tail(text: str) -> str:
    return " ".join(text.split())[-800:] or "it said nothing"


def _size(count: int) -> str:
    return f"{count / 1e6:8.2f} MB" if count >= 1e6 else f"{count / 1e3:8.2f} kB"


@dataclass(frozen=True)
class Account:
    """Who publishes. held: the files of the Space as it is on the Hub; None where there is none yet."""

    name: str
    held: frozenset[str] | None
    private: bool


def account(repo: str, private: bool = False) -> Account:
    """Who is logged in, and what is on the Hub under that name now. PublishError where nobody may publish there: without login,
    network or permission, and for a repository that is another app."""
    from huggingface_hub import HfApi, errors

    api = HfApi()
    page = f"{api.endpoint}/spaces/{repo}"
    with _explained(api, repo):
        me = api.whoami()
        allowed = [me["name"], *(org["name"] for org in me.get("orgs", []))]
        if repo.split("/")[0].lower() not in [name.lower() for name in allowed]:
            raise PublishError(f"{me['name']} is logged in, who cannot publish {repo}; start the name with {' or '.join(allowed)}")
        try:
            info = api.space_info(repo)
        except errors.RepositoryNotFoundError:
            return Account(me["name"], None, private)
    if info.sdk != "gradio":
        raise PublishError(f"{page} is a {info.sdk or 'nameless'} Space, not one for Gradio; give another name, or delete it there")
    held = frozenset(file.rfilename for file in info.siblings or ())
    if held - {".gitattributes", "README.md"} and OURS not in held:
        raise PublishError(f"{page} is another app, which this would replace; give another name, or delete it there")
    if private and not info.private:
        raise PublishError(f"{page} is public; make it private in its settings there, or leave --private out")
    return Account(me["name"], held, bool(info.private))


def upload(repo: str, space: Space, private: bool = False) -> str:
    """Uploads the folder, removing from the Space what is not in it; returns the Space's address. PublishError otherwise."""
    from huggingface_hub import HfApi

    api = HfApi()
    with _explained(api, repo):
        api.create_repo(repo, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repo,
            repo_type="space",
            folder_path=space.folder,
            commit_message=f"The page with {space.model}",
            delete_patterns="*",
        )
    return f"{api.endpoint}/spaces/{repo}"


@contextlib.contextmanager
def _explained(api: HfApi, repo: str) -> Iterator[None]:
    """Turns what the Hub's client raises into sentences."""
    from huggingface_hub import errors

    try:
        yield
    except PublishError:
        raise
    except errors.LocalTokenNotFoundError:
        raise PublishError("nobody is logged in here; run `hf auth login`, or set HF_TOKEN to a token that may write") from None
    except errors.OfflineModeIsEnabled:
        raise PublishError("HF_HUB_OFFLINE keeps this machine away from the Hub; unset it and try again") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        sentences = {
            401: "the Hub does not accept this login; run `hf auth login --force` with a new token, or put one into HF_TOKEN",
            402: f"the Hub wants a subscription for {repo}: {error.server_message or 'payment required'}; see its page on Spaces",
            403: f"this login may not write to {repo}; log in with a token that has write permission there",
            429: "the Hub has had too many requests of this account; try again in some minutes",
        }
        said = f"the Hub answered {status} ({error.server_message or 'no reason given'}); try again later"
        raise PublishError(sentences.get(status, said)) from None
    except Exception as error:  # The Hub's client is built on other HTTP libraries in other versions.
        unreached = any(kind.__name__ in ("TransportError", "ConnectionError") for kind in type(error).__mro__)
        if unreached:
            raise PublishError(f"{api.endpoint} cannot be reached; connect to the network and try again") from None
        raise PublishError(f"the upload to {api.endpoint} failed ({_tail(str(error))}); try again, what is there is kept") from None
