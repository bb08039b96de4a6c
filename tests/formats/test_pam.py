"""PAM stacks: what is read, whether anybody passes, and libpam itself as the judge."""

import ctypes
import ctypes.util
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosinspect.formats.text.pam import MAX_HANDLERS, passes, read_stack

DEBIAN = {
    "login": "auth requisite pam_nologin.so\n@include common-auth\n@include common-account\n@include common-session\n",
    "common-auth": "auth [success=1 default=ignore] pam_unix.so nullok\nauth requisite pam_deny.so\nauth required pam_permit.so\n",
    "common-account": "account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so\naccount requisite pam_deny.so\naccount required pam_permit.so\n",
    "common-session": "session [default=1] pam_permit.so\nsession requisite pam_deny.so\nsession required pam_permit.so\nsession required pam_unix.so\n",
}
FEDORA = {
    "login": "auth substack system-auth\nauth include postlogin\naccount required pam_nologin.so\naccount include system-auth\nsession required pam_selinux.so close\nsession include system-auth\n",
    "system-auth": "auth required pam_env.so\nauth [default=1 ignore=ignore success=ok] pam_usertype.so isregular\nauth [default=1 ignore=ignore success=ok] pam_localuser.so\n"
    "auth sufficient pam_unix.so nullok\nauth [default=1 ignore=ignore success=ok] pam_usertype.so isregular\nauth sufficient pam_sss.so forward_pass\nauth required pam_deny.so\n"
    "account required pam_unix.so\naccount sufficient pam_localuser.so\naccount required pam_permit.so\nsession optional pam_keyinit.so revoke\nsession required pam_limits.so\n-session optional pam_systemd.so\nsession required pam_unix.so\n",
    "postlogin": "session optional pam_lastlog.so showfailed\n",
}
SUSE = {
    "login": "auth requisite pam_nologin.so\nauth include common-auth\naccount include common-account\nsession required pam_loginuid.so\nsession include common-session\n",
    "common-auth": "auth required pam_env.so\nauth required pam_unix.so try_first_pass\n",
    "common-account": "account required pam_unix.so try_first_pass\n",
    "common-session": "session required pam_limits.so\nsession required pam_unix.so try_first_pass\nsession optional pam_umask.so\n",
}
SYSTEMS = {"debian": DEBIAN, "fedora": FEDORA, "suse": SUSE}


def outcome(files, kind, *missing, password=True):
    stack = read_stack("login", kind, files.get)
    return passes(stack, lambda handler: handler.name not in missing, password=password)


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("kind", ["auth", "account", "session"])
def test_a_whole_system_lets_somebody_in(system, kind):
    assert outcome(SYSTEMS[system], kind)


@pytest.mark.parametrize("system", SYSTEMS)
def test_nobody_passes_without_the_module_that_knows_passwords(system):
    assert not outcome(SYSTEMS[system], "auth", "pam_unix")


def test_a_module_that_knows_others_counts_where_it_is_about_anybody():
    assert outcome(FEDORA, "auth", "pam_unix", password=False)


def test_what_is_optional_or_handled_may_be_missing():
    assert outcome(FEDORA, "session", "pam_systemd", "pam_keyinit")
    assert not outcome(FEDORA, "session", "pam_limits")


def test_a_service_without_lines_falls_back_to_other():
    files = {"other": "auth required pam_deny.so\n"}
    assert not outcome(files, "auth")
    assert outcome({"other": DEBIAN["common-auth"]}, "auth")
    assert not outcome({}, "auth")


def test_a_missing_include_fails():
    stack = read_stack("login", "auth", {"login": "auth include nosuch\nauth sufficient pam_permit.so\n"}.get)
    assert ("nosuch",) == stack.missing
    assert not passes(stack, lambda _: True)


def test_lines_are_continued_and_comments_are_left_out():
    text = "auth required \\\n  pam_permit.so # done\n#auth required pam_deny.so\n"
    (handler,) = read_stack("login", "auth", {"login": text}.get).handlers
    assert "pam_permit" == handler.name


def test_a_service_that_includes_itself_ends():
    loop = {"login": "auth include login\nauth include login\n"}
    stack = read_stack("login", "auth", loop.get)
    assert len(stack.handlers) <= MAX_HANDLERS


@given(st.text(max_size=400), st.booleans())
def test_any_text_is_a_stack(text, there):
    for kind in ("auth", "account", "password", "session"):
        stack = read_stack("login", kind, {"login": text, "other": text}.get)
        assert passes(stack, lambda _: there) in (True, False)


# -- libpam as the judge -----------------------------------------------------------------------------------------------

CONTROLS = (
    *("required", "requisite", "sufficient", "optional"),
    *("[success=1 default=ignore]", "[default=1]", "[success=ok default=die]", "[success=done default=bad]"),
    *(
        "[module_unknown=ignore default=bad success=ok]",
        "[success=reset default=ignore]",
        "[success=2 default=bad]",
    ),
)
MODULES = ("pam_permit.so", "pam_deny.so", "pam_nosuch.so", "pam_permit.so", "pam_warn.so")


def drawn(random_, directory):
    """Make services that include each other by path, as libpam 1.5.2 finds no others below a directory of its caller's."""
    files = {}
    for name in ("c", "b", "login"):
        lines = []
        for _ in range(random_.randint(1, 5)):
            kind = random_.random()
            below = {"login": "bc", "b": "c", "c": ""}[name]
            if below and kind < 0.3:
                word = random_.choice(("include", "substack"))
                lines.append(f"auth {word} {directory}/{random_.choice(below)}")
            else:
                silent = "-" if kind > 0.95 else ""
                lines.append(f"{silent}auth {random_.choice(CONTROLS)} {random_.choice(MODULES)}")
        files[f"{directory}/{name}"] = "\n".join(lines) + "\n"
    return files


class _Conversation(ctypes.Structure):
    _fields_ = (("conv", ctypes.c_void_p), ("data", ctypes.c_void_p))


def judged(library, directory):
    handle = ctypes.c_void_p()
    conversation = _Conversation(None, None)
    start = library.pam_start_confdir
    begun = start(
        b"login", b"root", ctypes.byref(conversation), str(directory).encode(), ctypes.byref(handle)
    )
    assert begun == 0
    found = library.pam_authenticate(handle, 0x8000)  # PAM_SILENT
    library.pam_end(handle, found)
    return found == 0


@pytest.mark.compat
def test_libpam_lets_in_whom_this_reader_lets_in(tmp_path):
    library = ctypes.CDLL("libpam.so.0")
    library.pam_end.argtypes = [ctypes.c_void_p, ctypes.c_int]
    library.pam_authenticate.argtypes = [ctypes.c_void_p, ctypes.c_int]
    random_ = random.Random(16)
    passed = 0
    for number in range(400):
        directory = tmp_path / str(number)
        directory.mkdir()
        files = drawn(random_, directory)
        for path, text in files.items():
            Path(path).write_text(text)
        stack = read_stack(f"{directory}/login", "auth", files.get)
        expected = judged(library, directory)
        passed += expected
        assert expected == passes(stack, lambda handler: handler.name != "pam_nosuch"), files
    assert 80 < passed < 320  # both answers are met often
