"""Opens the page. On a Space, `demo` is found here."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
from pathlib import Path

from stargan import garbage, settings

with contextlib.suppress(ImportError):
    import spaces  # noqa: F401  # where there is ZeroGPU, before anything touches CUDA

# Where this is imported, the command line is somebody else's.
arguments = settings.read(None if __name__ == "__main__" else [])
if __name__ == "__main__":
    settings.check_address(arguments)

with garbage.none_of_it():
    from stargan import ui
    from stargan.memory import return_freed_memory
    from train import ui as train

return_freed_memory()
training = Path(arguments.data) if arguments.train else None
demo = ui.build(
    arguments.model,
    arguments.threads,
    arguments.compile,
    downloads=arguments.train,
    keep=arguments.keep,
    live=arguments.live,
    tabs={"Train": functools.partial(train.tab, folders=training)},
)
demo = ui.unhurried(demo.queue(max_size=arguments.max_queue, default_concurrency_limit=2))

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # an end like others, which takes uploads with it
    try:
        demo.launch(
            # A Space is reached from outside its container.
            server_name="0.0.0.0" if "SPACE_ID" in os.environ else arguments.host,
            server_port=arguments.port or None,
            share=arguments.share,
            app_kwargs={"middleware": ui.guard(arguments)},
            auth=tuple(arguments.auth.split(":", 1)) if arguments.auth else None,
            theme=ui.THEME,
            css_paths=[ui.CSS],
            max_file_size="500mb" if arguments.train else "50mb",
            ssr_mode=False,
            run_history=False,  # it would stay in the browser, for whoever sits there next
        )
    except OSError as error:
        # What Gradio raises where no port is free, with advice for programmers, or an address is not this machine's.
        why = "it is taken, or no address of this machine" if "empty port" in str(error) else str(error)
        raise settings.cannot_listen(arguments, why) from None
