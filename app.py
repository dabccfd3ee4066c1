"""Opens the page. On a Space, `demo` is found here."""

from __future__ import annotations

import argparse
import os

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
    )
    for name, kind, default, text in options:
        variable = "STARGAN_" + name.upper().replace("-", "_")
        parser.add_argument(f"--{name}", type=kind, default=env(variable, default), help=f"{text} ({variable}; default: {default})")
    parser.add_argument(
        "--no-compile",
        action="store_true",
        default=env("STARGAN_NO_COMPILE") == "1",
        help="do not compile for this processor in the background (STARGAN_NO_COMPILE=1)",
    )
    parser.add_argument("--share", action="store_true", default=env("STARGAN_SHARE") == "1", help="public link (STARGAN_SHARE=1)")
    return parser.parse_args(None if __name__ == "__main__" else [])


arguments = settings()
demo = ui.build(arguments.model, arguments.threads, not arguments.no_compile).queue(
    max_size=arguments.max_queue, default_concurrency_limit=2
)

if __name__ == "__main__":
    # A Space is reached from outside its container.
    host = "0.0.0.0" if "SPACE_ID" in os.environ else arguments.host
    demo.launch(
        server_name=host,
        server_port=arguments.port,
        share=arguments.share,
        theme=ui.THEME,
        css_paths=[ui.CSS],
        max_file_size="50mb",
        ssr_mode=False,
    )
