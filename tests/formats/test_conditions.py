"""The conditions of steps, judged by the shell that runs them."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosinspect.formats.yip.conditions import MAX_CONDITION, NOTHING_KNOWN, World, holds

ORDINARY = World(
    test=lambda _, path: path == "/run/cos/active_mode" if path.startswith("/run/cos/") else None,
    command_line=lambda word: False if word in {"CDLABEL", "rd.cos.disable", "install-mode"} else None,
    label=lambda label: False if label == "COS_SYSTEM" else None,
)
WORDS = st.sampled_from(
    ["a", "''", "1", "2", "'a b'", '"x"', "\\x", "-n", "=", "!", "]", "-1", "01", "x=y", "'-e'"]
)
TESTS = st.one_of(
    st.lists(WORDS, max_size=5).map(lambda words: " ".join(["[", *words, "]"])),
    st.lists(WORDS, max_size=4).map(lambda words: " ".join(["test", *words])),
    st.builds("[ {} {} {} ]".format, WORDS, st.sampled_from(["=", "!=", "-eq", "-ne", "-lt", "-ge"]), WORDS),
)
SIMPLE = st.one_of(
    st.sampled_from(
        [
            "true",
            "false",
            ":",
            "exit 0",
            "exit 1",
            "exit 256",
            "exit",
            "echo a b",
            "echo 'x' > /dev/null",
            "false # x",
            "! true",
        ]
    ),
    TESTS,
)
SCRIPTS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.builds("{} && {}".format, inner, inner),
        st.builds("{} || {}".format, inner, inner),
        st.builds("{}; {}".format, inner, inner),
        st.builds("{}\n{}".format, inner, inner),
        st.builds("( {} \n)".format, inner),
        st.builds("{} | {}".format, SIMPLE, SIMPLE),
        st.builds("{} && \\\n{}".format, inner, inner),
    ),
    max_leaves=6,
)


def runs(script):
    return (
        subprocess.run(["/bin/sh", "-c", script], capture_output=True, timeout=600, check=False).returncode
        == 0
    )


@settings(max_examples=250, deadline=None)
@given(SCRIPTS)
def test_what_is_decided_is_what_the_shell_decides(script):
    found = holds(script)
    assert found is None or found == runs(script)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=60))
def test_arbitrary_text_is_decided_or_not(script):
    assert holds(script) in {True, False, None}


@pytest.mark.parametrize(
    "script",
    ["false", "exit 1", "[ 1 = 2 ]", "true && false", "! true", "[ -n '' ]", "(exit 3)", "test 1 -gt 2"],
)
def test_what_never_holds_is_told(script):
    assert holds(script) is False
    assert not runs(script)


@pytest.mark.parametrize(
    "script",
    [None, "", "true", "[ 1 = 1 ]", "false || :", "unknown || true", "true; exit 0; false", "exit 0"],
)
def test_what_always_holds_is_told(script):
    assert holds(script) is True


@pytest.mark.parametrize(
    "script",
    [
        "unknown",
        "[ -e /x ]",
        "unknown && exit 1",
        "[[ a =~ b ]]",
        "if true; then false; fi",
        "[ $A = b ]",
        "[ {{ .Values.node.hostname }} = a ]",
        "exec true; false",
        "false &",
        "true" + " " * MAX_CONDITION,
        "'",
        "grep -q a /etc/os-release",
    ],
)
def test_what_only_the_machine_shows_is_not_decided(script):
    assert holds(script, NOTHING_KNOWN) is None


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ('[ ! -f "/run/cos/recovery_mode" ]', True),
        ('[ -f "/run/cos/recovery_mode" ]', False),
        ("[ -f /run/cos/active_mode ]", True),
        ('cat /proc/cmdline | grep -q "CDLABEL" || cat /proc/cmdline | grep -q "rd.cos.disable"\n', False),
        ('grep -vq "CDLABEL" /proc/cmdline', True),
        ('[ -z "$(blkid -L COS_SYSTEM || true)" ]', True),
        ('[ -n "$(blkid -L OTHER || true)" ]', None),
        ('(grep -q "install-mode" /proc/cmdline) && \\\n([ -f /run/cos/live_mode ] || unknown)\n', False),
        ('[ ! -f "/run/cos/recovery_mode" ] && [ -s /usr/local/etc/machine-id ]', None),
        ('[ -f "/run/cos/recovery_mode" ] && [ -s /usr/local/etc/machine-id ]', False),
        ("grep -q other /proc/cmdline", None),
    ],
)
def test_what_the_toolkits_ask_is_decided_for_an_ordinary_boot(script, expected):
    assert holds(script, ORDINARY) is expected
