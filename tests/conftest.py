"""What every test starts from."""

import atexit
import os
import shutil
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))  # modules that tests share: stacks, oracle, judges

os.environ["COSINSPECT_CONFIG_FILE"] = "off"  # nor is what this user prefers
os.environ["COSINSPECT_CACHE"] = "off"  # what one test finds out is no help to another

# Where no bytecode may be written, each of some hundred programs that tests start would compile the package again.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None) and "PYTHONPYCACHEPREFIX" not in os.environ:
    _bytecode = tempfile.mkdtemp(prefix="cosinspect-bytecode-")
    atexit.register(shutil.rmtree, _bytecode, ignore_errors=True)
    os.environ["PYTHONPYCACHEPREFIX"] = _bytecode

# A busy machine is slow, which is no fault of an example; in CI the examples are the same each time.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize=bool(os.environ.get("CI")),
    database=None if os.environ.get("CI") else settings.default.database,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")

SKIPS_ALLOWED = not os.environ.get("CI")
MOST_EXAMPLES = 200
"""Examples of one property in CI: they are the same ones each time, so that more of them find what they found before."""


def pytest_collection_modifyitems(items):
    """Bound the examples in CI, unless more of them are asked for; other runs try new examples each time, and all of them."""
    if SKIPS_ALLOWED or os.environ.get("COSINSPECT_TEST_SCALE", "1") != "1":
        return
    for item in items:
        asked = getattr(getattr(item, "function", None), "_hypothesis_internal_use_settings", None)
        if asked is not None and asked.max_examples > MOST_EXAMPLES:
            item.function._hypothesis_internal_use_settings = settings(asked, max_examples=MOST_EXAMPLES)


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
