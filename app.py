"""Opens the page. On a Space, `demo` is found here."""

from __future__ import annotations

import argparse
import contextlib
import os
from pathlib import Path

with contextlib.suppress(ImportError):
    import spaces  # noqa: F401  # where there is ZeroGPU, before anything touches CUDA

from stargan import ui, zoo


def settings() -> argparse.Namespace:
    """Flags, each with its environment variable; without a command line of our own, the variables alone."""
    env = os.environ.get
    parser = argparse.ArgumentParser(description="StarGAN v2 in the browser. Every flag has an environment variable.")
    options: tuple[tuple[str, type, str, str], ...] = (
        ("model", str, zoo.DEFAULT, "name or file of a model"),
        ("host", str, "127.0.0.1", "address to listen on"),
        ("port", int, "7860", "port to listen on"),
        ("max-queue", int, "64", "calls that may wait"),
        ("threads", int, "0", "threads that translate; 0: as many as are fastest"),
        ("auth", str, "", "user:password that a visitor has to give; empty: nothing"),
        ("data", str, str(zoo.ROOT / "data"), "folder of prepared data folders, where the Train tab puts uploads too"),
    )
    switches = (
        ("share", "0", "public link"),
        ("compile", "1", "compile for this processor in the background"),
        ("train", "", "offer training and downloads of models; by default only without a Space or public link"),
    )
    for name, kind, default, text in options:
        variable = "STARGAN_" + name.upper().replace("-", "_")
        parser.add_argument(f"--{name}", type=kind, default=env(variable, default), help=f"{text} ({variable}; default: {default})")
    for name, default, text in switches:
        variable = "STARGAN_" + name.upper()
        chosen = {"1": True, "0": False}.get(env(variable, default))
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=chosen, help=f"{text} ({variable}=1 or 0)")
    found = parser.parse_args(None if __name__ == "__main__" else [])
    if found.train is None:
        found.train = "SPACE_ID" not in os.environ and not found.share
    if found.auth and ":" not in found.auth:
        parser.error("--auth needs a name and a password with a colon between them")
    return found


arguments = settings()
demo = ui.build(
    arguments.model, arguments.threads, arguments.compile, Path(arguments.data) if arguments.train else None
).queue(max_size=arguments.max_queue, default_concurrency_limit=2)  # fmt: skip

if __name__ == "__main__":
    # A Space is reached from outside its container.
    host = "0.0.0.0" if "SPACE_ID" in os.environ else arguments.host
    demo.launch(
        server_name=host,
        server_port=arguments.port,
        share=arguments.share,
        auth=tuple(arguments.auth.split(":", 1)) if arguments.auth else None,
        theme=ui.THEME,
        css_paths=[ui.CSS],
        max_file_size="500mb" if arguments.train else "50mb",
        ssr_mode=False,
        run_history=False,  # it would stay in the browser, for whoever sits there next
    )
