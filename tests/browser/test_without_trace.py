"""What visitors bring and make is gone after a while. The last file of its group: the while goes by during the others."""

from __future__ import annotations

import time

from gauge import files
from served import Brief, after, source


def test_uploads_and_results_are_deleted_after_a_while(brief: Brief) -> None:
    page, before = brief.page, brief.before
    deadline = time.monotonic() + 120
    while len(files(brief.kept)) > before and time.monotonic() < deadline:
        page.wait_for_timeout(1000)
    assert len(files(brief.kept)) == before
    page.reload()
    source(page)
    after(page, lambda: page.locator("#examples .tiles button").nth(1).click())  # which is not deleted
