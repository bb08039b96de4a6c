"""passwd(5) and sysusers.d(5)."""

import pwd
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cosinspect.formats.text.accounts import PasswdEntry, read_passwd, read_sysusers


def test_accounts_of_passwd():
    text = "root:x:0:0:root:/root:/bin/bash\n# no:x:1:1::/:\n+nis::::::\nbroken:x\nbin:x:one:1::/:/bin/false\nuser:x:1000:100::/home/user:\n"
    assert (PasswdEntry("root", 0, "/bin/bash"), PasswdEntry("user", 1000, "/bin/sh")) == read_passwd(text)


def test_the_machine_reads_its_own_file_as_we_do():
    found = {(each.name, each.uid) for each in read_passwd(Path("/etc/passwd").read_text())}
    assert {(each.pw_name, each.pw_uid) for each in pwd.getpwall()} >= found
    assert ("root", 0) in found


def test_accounts_of_sysusers():
    text = 'u root 0:0 "Super User" /root\nu! locked - "x"\ng wheel 10\nu app 1000 "An app" /srv /bin/app\nu with%h 3\n'
    found = {each.name: each for each in read_sysusers(text)}
    assert {"root", "locked", "app"} == set(found)
    assert (0, "/bin/sh") == (found["root"].uid, found["root"].shell)
    assert "/bin/app" == found["app"].shell
    assert found["locked"].uid is None


@given(st.text(max_size=300))
def test_any_text_is_read(text):
    assert isinstance(read_passwd(text), tuple)
    assert isinstance(read_sysusers(text), tuple)
