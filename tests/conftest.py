"""What every test starts from."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # modules that tests share: stacks, oracle, judges

os.environ["COSINSPECT_CACHE"] = "off"  # what one test finds out is no help to another

SKIPS_ALLOWED = not os.environ.get("CI")


def pytest_terminal_summary(terminalreporter):
    """In CI every judge is there, so a skipped test is one that nobody ran."""
    skipped = terminalreporter.stats.get("skipped", [])
    if skipped and not SKIPS_ALLOWED:
        terminalreporter.write_line(f"{len(skipped)} tests were skipped, in CI none may be", red=True)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not SKIPS_ALLOWED and reporter.stats.get("skipped") and exitstatus == 0:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
