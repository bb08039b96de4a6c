"""apk's installed database; the records are in the form of Alpine 3.14's minimal root file system, armv7."""

import pytest

from cosinspect.errors import FormatError
from cosinspect.formats.packages.apk import read_apk_installed

INSTALLED = """\
C:Q1CpjMpFo3UY/Tn4CshBpA+PXMf04=
P:musl
V:1.2.2-r3
A:armv7
S:360760
I:516096
T:the musl c library (libc) implementation
U:https://musl.libc.org/
L:MIT
o:musl
m:Timo Ter\u00e4s <timo.teras@iki.fi>
t:1620570927
c:1e9cba35059e3bb4635f12ee7e10dfe687df31ad
p:so:libc.musl-armv7.so.1=1
F:lib
R:ld-musl-armhf.so.1
a:0:0:755
Z:Q1OR21cpf2INrOZXtXeMnWdqhkld4=

C:Q1okgvkw9n0m1RVQHuH+ZUWw9s3HU=
P:libssl1.1
V:1.1.1k-r0
A:armv7
L:OpenSSL
o:openssl
D:so:libc.musl-armv7.so.1 so:libcrypto.so.1.1
F:tmp
M:0:0:1777
"""


@pytest.mark.parametrize("end", ["", "\n", "\n\n\n"])
def test_every_record_is_a_package(end):
    packages = read_apk_installed((INSTALLED + end).encode())

    assert [
        ("apk", "musl", "1.2.2-r3", "armv7", "musl", "MIT"),
        ("apk", "libssl1.1", "1.1.1k-r0", "armv7", "openssl", "OpenSSL"),
    ] == [
        (each.type, each.name, each.version, each.architecture, each.source, each.license)
        for each in packages
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"P:a\nV:1\nno field\n", "expected a field, X:VALUE, in line 3"),
        (b"P:a\n", "expected a version (V:) in the record before line 2"),
        (b"V:1\n\nP:a\n", "expected a name (P:) in the record before line 2"),
    ],
)
def test_a_malformed_record_makes_the_database_unreadable(text, message):
    with pytest.raises(FormatError) as caught:
        read_apk_installed(text)
    assert (caught.value.kind, caught.value.message) == ("syntax", message)
