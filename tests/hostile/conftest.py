"""What hostile tests run the command with."""

import sys

import pytest

from command_runs import Runner
from cosinspect.sources.registry.source import RegistrySource, Timeouts


@pytest.fixture
def command(tmp_path_factory, monkeypatch):
    """The command, in a directory and for a user who have nothing, and must have nothing afterwards."""
    home, here = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("here")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "DOCKER_CONFIG", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(here)
    # A stalled registry need not be waited for in full; on a busy machine one that answers takes some time too.
    defaults = RegistrySource.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "sleep", lambda _: None)
    monkeypatch.setitem(defaults, "timeouts", Timeouts(connect=60, read=1, total=600))
    runner = Runner(home, here)
    yield runner
    runner.assert_untouched()
