"""The command as a process of its own, and what a refusal looks like."""

import os

from stargan.files import places
from tests.processes import ran


def run(*arguments, cwd, **variables):
    # Started elsewhere: the command must not depend on the folder that it runs in.
    environment = {**os.environ, "PYTHONPATH": str(places.ROOT), **variables}
    return ran(["-m", "stargan", *map(str, arguments)], cwd, environment)


def refused(result, *words):
    assert result.returncode == 2 and result.stdout == ""
    assert "Traceback" not in result.stderr and result.stderr.count("\n") == 1
    for word in words:
        assert word in result.stderr
