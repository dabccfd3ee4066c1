"""A model for the Hub: its file with card, examples and licence, in a folder. `hub` uploads it and compares what comes back."""

from __future__ import annotations

import dataclasses
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from torch import nn

from stargan import zoo
from stargan.files import checkpoint
from stargan.media import images
from stargan.model import Model
from stargan.networks import Discriminator, ModelConfig
from stargan.zoo.publish import LARGE, PublishError, agreed, check_target, listed, pictures, precision, written

# By the first line a folder is known that this has written, and that it may write anew.
MARK = "# Written by `python -m stargan push`, which may write this folder anew."
EXAMPLES = "examples.jpg"
DISCRIMINATOR = checkpoint.discriminator_path(zoo.HUB_FILE).name
# The licences that the Hub knows by a short name; any other is called `other` there, and stands in the file LICENSE.
KNOWN = re.compile(r"CC (BY(?:-NC)?(?:-SA|-ND)?) (\d\.\d)|CC0(?: 1\.0)?|MIT|Apache[- ]2\.0", re.IGNORECASE)


@dataclass(frozen=True)
class Parcel:
    """An assembled folder. files: sizes in bytes by path, in order. ours: what an earlier upload of this kind may have left."""

    folder: Path
    model: Model
    files: dict[str, int]
    ours: tuple[str, ...] = (zoo.HUB_FILE, DISCRIMINATOR, EXAMPLES, "LICENSE")

    def plan(self) -> str:
        """What goes up, a file a line."""
        facts = f"{self.model.name}: {self.model.facts()}; licence of its weights: {self.model.licence}"
        return "\n".join([facts, *listed(self.files, self.folder)])


def check(name: str, model: Model) -> None:
    """PublishError for a model that may not be handed on: one of others by its name, or one that says no licence."""
    if name in zoo.PUBLISHED and name not in zoo.available():
        raise PublishError(f"{name} is its authors' to hand on, under {zoo.PUBLISHED[name].licence}; push a model of your own")
    agreed(name, model.licence)


def assemble(folder: Path, name: str, repo: str, model: Model, examples: Image.Image) -> Parcel:
    """Writes into `folder` what the Hub gets: model.safetensors, the discriminator where one was kept, README.md (the card beside
    the model, or one of the facts), examples.jpg, and LICENSE.

    name: as `zoo.load` took it; it says where card and discriminator lie. PublishError for a model that may not be handed on, for a
    folder that holds something else, and where it cannot be written.
    """
    check(name, model)
    folder = folder.absolute()
    check_target(folder, MARK)
    judge = _discriminator(name, model)
    file = Path(zoo.available().get(name, name))
    card = file.with_name("README.md") if file.suffix == LARGE and name in zoo.available() else None
    shown = pictures(card, "") if card is not None and card.is_file() else {}
    text = card.read_text(encoding="utf-8") if card is not None and card.is_file() else _card(repo, model)
    with written(folder) as partial:
        checkpoint.save(model, partial / zoo.HUB_FILE, precision(model))
        if judge is not None:
            checkpoint.save_discriminator(judge[0], judge[1], partial / DISCRIMINATOR, torch.float16)
        for path, source in shown.items():
            (partial / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, partial / path)
        images.write(examples, partial / EXAMPLES, "JPEG")
        (partial / "README.md").write_text(_with_front(text, repo, model), encoding="utf-8")
        (partial / "LICENSE").write_text(f"The weights of {model.name} may be used under {model.licence}.\n", encoding="utf-8")
        (partial / ".gitattributes").write_text(f"{MARK}\n*{LARGE} filter=lfs diff=lfs merge=lfs -text\n", encoding="utf-8")
    files = {p.relative_to(folder).as_posix(): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
    return Parcel(folder, model, files)


def difference(sent: Model, back: Model) -> str:
    """The name of the first fact or network in which two models differ; empty where they are the same."""
    for field in dataclasses.fields(Model):
        a, b = getattr(sent, field.name), getattr(back, field.name)
        if field.name in ("notes", "mean_styles"):
            continue
        if isinstance(a, nn.Module) and isinstance(b, nn.Module):
            x, y = a.state_dict(), b.state_dict()
            alike = x.keys() == y.keys() and all(torch.equal(x[key], y[key]) for key in x)
        else:
            alike = type(a) is type(b) and bool(np.all(a == b))
        if not alike:
            return field.name
    return ""


def _discriminator(name: str, model: Model) -> tuple[Discriminator, ModelConfig] | None:
    path = zoo.discriminator(name)
    return None if path is None else checkpoint.load_discriminator(path, model.config.domains)


def _with_front(text: str, repo: str, model: Model) -> str:
    """The card with what the Hub reads of it; what its front matter says already stays, but for the licence."""
    match = re.match(r"---\n(.*?\n)---\n", text, re.DOTALL)
    held = yaml.safe_load(match[1]) if match else None
    front = {"library_name": "stargan-v2", "pipeline_tag": "image-to-image", "tags": ["stargan-v2", "image-to-image"]}
    front |= held if isinstance(held, dict) else {}
    front |= _licence(model.licence)
    body = text[match.end() :] if match else text
    if EXAMPLES not in body:
        body = f"{body.rstrip()}\n\n## Examples\n\n![A source and its translations]({EXAMPLES})\n"
    if f"hf:{repo}" not in body:
        body = f"{body.rstrip()}\n\n{_usage(repo, model)}"
    return f"---\n{yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=1000)}---\n{body}"


def _licence(text: str) -> dict[str, str]:
    """A licence as the Hub's front matter has it. What stands after its name, such as whom to credit, stays in LICENSE."""
    match = KNOWN.match(text.strip())
    if match is None:
        return {"license": "other", "license_name": " ".join(text.split())[:60], "license_link": "LICENSE"}
    if match[1]:
        return {"license": f"cc-{match[1]}-{match[2]}".lower()}
    short = match[0].lower()
    return {"license": "cc0-1.0" if short.startswith("cc0") else short.replace(" ", "-")}


def _card(repo: str, model: Model) -> str:
    """A card for a model that has none: the facts that its file knows."""
    return (
        f"# {model.name}\n\nA StarGAN v2 of {len(model.config.domains)} domain{'s' * (len(model.config.domains) > 1)}: "
        f"{model.facts()}.\n\n![A source and its translations]({EXAMPLES})\n\n*Sources, then translations: a domain and seed a "
        f"column.*\n\n- **Licence of the weights:** {model.licence}\n"
    )


def _usage(repo: str, model: Model) -> str:
    domain = model.config.domains[-1]
    return (
        f"## Use\n\n```bash\npython -m stargan translate photo.jpg --model hf:{repo} --domain '{domain}' --seed 7 -o out.png\n"
        f'```\n\n```python\nfrom stargan import Translator\n\ntranslator = Translator.from_pretrained("hf:{repo}")\n```\n'
    )
