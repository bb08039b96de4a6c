"""The order of versions: the judges are dpkg, rpm and libalpm of this machine, and comparisons of apk-tools' own test (test/version.data)."""

import ctypes
import operator
import random
import re
import shutil
import subprocess
from ctypes.util import find_library

import pytest

from cosinspect.policy.version_order import parse_version

PARTS = ("1", "2", "10", "09", "0", "a", "b", "rc", "beta", ".1", ".2", "_3", "+b", ".r", "~1", "^2", "~rc")


def random_pairs(count, parts=PARTS):
    chance = random.Random(7)

    def version():
        text = chance.choice("0123456789") + "".join(chance.choices(parts, k=chance.randint(0, 5)))
        return chance.choice(["", "0:", "1:"]) + text + chance.choice(["", "-1", "-2", "-10"])

    return [(version(), version()) for _ in range(count)]


def sign(one, two, kind):
    first, second = parse_version(one, kind), parse_version(two, kind)
    found = (first > second) - (first < second)
    assert (first == second) == (found == 0)
    return found


@pytest.mark.skipif(shutil.which("rpm") is None, reason="rpm is the judge")
def test_rpm_orders_its_versions_so(tmp_path):
    pairs = random_pairs(400)
    (tmp_path / "x.lua").write_text("\n".join(f"print(rpm.vercmp('{one}', '{two}'))" for one, two in pairs))
    command = ["rpm", "--eval", f"%{{lua:dofile('{tmp_path}/x.lua')}}"]
    judged = re.findall("-1|0|1", subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert [sign(one, two, "rpm") for one, two in pairs] == [int(each) for each in judged]


@pytest.mark.skipif(find_library("alpm") is None, reason="libalpm is the judge")
def test_pacman_orders_its_versions_so():
    judge = ctypes.CDLL(find_library("alpm")).alpm_pkg_vercmp
    for one, two in random_pairs(3000):
        judged = judge(one.encode(), two.encode())
        assert sign(one, two, "alpm") == (judged > 0) - (judged < 0), (one, two)


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is the judge")
def test_dpkg_orders_its_versions_so():
    for one, two in random_pairs(25, [each for each in PARTS if not each.startswith(("^", "_"))]):
        judged = subprocess.run(["dpkg", "--compare-versions", one, "lt", two], check=False).returncode == 0
        assert (sign(one, two, "deb") < 0) == judged, (one, two)


@pytest.mark.parametrize(
    "line",
    [
        "2.34 > 0.1.0_alpha",
        "0.1.0_alpha = 0.1.0_alpha",
        "0.1.0_alpha2 > 0.1.0_alpha",
        "1.1 > 1.1_alpha1",
        "2.3.0b-r1 < 2.3.0b-r2",
        "3.1_p16 < 3.1_p17",
        "1.3.5-r10 > 1.3.5-r8",
        "2.5.1-r8 < 2.5.1a-r1",
        "4.2.52_p2-r1 < 4.2.52_p4-r2",
        "1.3-r0 < 1.3.1-r0",
        "1.3_pre1-r1 < 1.3.2",
        "0.1.0_alpha_pre2 < 0.1.0_alpha",
        "1.0.0_pre20191002222144-r0 < 1.0.0_pre20210530193627-r0",
        "1.07.5 > 1.07",
        "4.5_p1-r1 > 4.5_p1",
        "0.9.8c-r1 < 0.9.8d",
    ],
)
def test_apk_orders_its_versions_so(line):
    one, relation, two = line.split()
    compare = {"<": operator.lt, ">": operator.gt, "=": operator.eq}[relation]

    assert compare(parse_version(one, "apk"), parse_version(two, "apk"))


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("x", "deb", "expected a version that begins with a digit, found 'x'"),
        ("1.2.4_git20230717-r4", "apk", "expected digits and dots, then a suffix"),
        ("x:1", "rpm", "expected [EPOCH:]VERSION[-RELEASE] in ASCII"),
        ("1/2", "alpm", "expected [EPOCH:]VERSION[-RELEASE] of letters"),
        ("1" * 201, "rpm", "expected a version, found 201 characters"),
        ("", "rpm", "expected [EPOCH:]VERSION"),
    ],
)
def test_what_is_not_a_version_is_refused(text, kind, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_version(text, kind)
