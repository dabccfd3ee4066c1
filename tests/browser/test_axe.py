"""No serious fault of accessibility on any tab, at any width, light and dark, found by axe."""

from __future__ import annotations

from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from served import ready, still, to_tab

TABS = ("Translate", "Live", "Clip", "Grid", "Train", "About")
# What is Gradio's own, and no setting of it changes: it is named here, so that anything else is found.
GRADIO = {"aria-prohibited-attr": 'aria-label="Empty value"'}  # a box with nothing in it yet


@pytest.mark.parametrize(("width", "theme"), [(1280, "light"), (768, "dark"), (375, "light")])
def test_axe_finds_nothing_serious(regular: Any, address: str, width: int, theme: str) -> None:
    page = ready(regular, address, width, 900, theme)
    found: list[str] = []
    for tab in TABS:
        to_tab(page, tab)
        still(page)
        for violation in Axe().run(page).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                for node in violation["nodes"]:
                    html = node["html"][:160]
                    if not any(rule == violation["id"] and part in html for rule, part in GRADIO.items()):
                        found.append(f"{tab}: {violation['id']}: {html}")
    page.close()
    assert not found, "\n".join(sorted(set(found)))
