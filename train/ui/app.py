"""stargan-app: the page, as `python app.py` opens it in the repository."""

from __future__ import annotations

import runpy

from stargan.files import places


def main() -> None:
    runpy.run_path(str(places.ROOT / "app.py"), run_name="__main__")
