"""An answer is used only while everything that decides it is the same."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosinspect.cache import answers
from cosinspect.cache.answers import Answer, Question, Surroundings, file_digest, split_text
from cosinspect.cache.location import record_path
from cosinspect.cache.record_writer import RecordWriter

WORDS = ("oci:os", "--format", "json")


@pytest.fixture
def home(tmp_path):
    (tmp_path / ".cache" / "cosinspect").mkdir(parents=True, mode=0o700)
    return tmp_path


def question(home, words=WORDS, directory="/work", output=("False", "", "utf-8"), **variables):
    return Question.of(words, Surroundings({"HOME": str(home), **variables}, directory, output))


def keep(asked, answer):
    path = Path(record_path(asked.directory, answers.KIND, asked.key))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(RecordWriter(asked.key).finish(answer.encode())))
    return path


def answer(files=None, day="", pieces=("said\n",)):
    return Answer(0, 7, day, files or {}, pieces)


def test_the_same_question_has_the_same_key_and_every_part_makes_another(home):
    asked = question(home)
    assert asked.key == question(home).key
    others = [
        question(home, words=("oci:os", "--format", "text")),
        question(home, words=("oci:os", "--format json")),
        question(home, directory="/elsewhere"),
        question(home, output=("True", "80", "utf-8")),
        question(home, output=("False", "", "ascii")),
        question(home, NO_COLOR="1"),
        question(home, COSINSPECT_PROFILE="kairos"),
        question(home, XDG_CONFIG_HOME="/etc/xdg"),
    ]
    assert len(others) + 1 == len({asked.key, *(other.key for other in others)})
    assert asked.key == question(home, SHLVL="3", PWD="/work").key


def test_other_code_and_whatever_is_installed_make_another_key(home, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    before = question(home).key
    os.utime(tmp_path, (1, 1))
    installed = question(home).key
    monkeypatch.setattr(answers, "code_digest", lambda: b"other code")
    assert 3 == len({before, installed, question(home).key})


@pytest.mark.parametrize(
    ("words", "variables", "place"),
    [
        ((), {}, "{home}/.cache/cosinspect"),
        ((), {"XDG_CACHE_HOME": "/c"}, "/c/cosinspect"),
        ((), {"XDG_CACHE_HOME": "relative"}, "{home}/.cache/cosinspect"),
        ((), {"COSINSPECT_CACHE": "/named"}, "/named"),
        (("--cache", "/given"), {"COSINSPECT_CACHE": "/named"}, "/given"),
        (("--cache=/given",), {}, "/given"),
        (("--no-cache",), {}, None),
        (("--cache", "s3://bucket"), {}, None),
        ((), {"COSINSPECT_CACHE": "off"}, None),
        ((), {"HOME": ""}, None),
    ],
)
def test_it_looks_where_the_command_keeps_its_cache(home, words, variables, place):
    asked = question(home, words=(*WORDS, *words), **variables)
    assert (asked and asked.directory) == (place and place.format(home=home))


def test_a_cache_that_others_can_write_to_is_not_read(home):
    (home / ".cache" / "cosinspect").chmod(0o777)
    assert question(home) is None
    assert (
        question(home, COSINSPECT_CACHE=str(home / ".cache" / "cosinspect")) is not None
    )  # the user named it


def test_an_answer_holds_while_its_files_are_the_same(home, tmp_path):
    there, missing = tmp_path / "policy.toml", tmp_path / "cosinspect.toml"
    there.write_text("a")
    asked = question(home)
    names = (str(there), str(missing), str(tmp_path))
    keep(asked, answer({name: file_digest(name) for name in names}))
    assert "said\n" == asked.stored().text(0.1)
    there.write_text("b")
    assert asked.stored() is None
    there.write_text("a")
    assert asked.stored() is not None
    missing.write_text("")
    assert asked.stored() is None
    missing.unlink()
    there.unlink()
    assert asked.stored() is None


def test_an_answer_with_a_day_holds_on_that_day(home, monkeypatch):
    asked = question(home)
    keep(asked, answer(day=answers.today()))
    assert asked.stored() is not None
    monkeypatch.setattr(answers, "today", lambda: "2031-01-01")
    assert asked.stored() is None


def test_a_damaged_answer_is_absent(home):
    asked = question(home)
    path = keep(asked, answer())
    whole = path.read_bytes()
    for damaged in (whole[:-1], whole[:30], whole.replace(b"said", b"sayd"), b""):
        path.write_bytes(damaged)
        assert asked.stored() is None
    keep(asked, answer(pieces=("said", "no such hole", "\n")))
    assert asked.stored() is None


def test_a_file_is_a_digest_a_directory_or_nothing(tmp_path):
    (tmp_path / "file").write_text("a")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(bytes(answers.FILE_BYTES + 1))
    assert [64, "", "directory", None, None, ""] == [
        len(file_digest(str(tmp_path / "file"))),
        *(file_digest(str(tmp_path / name)) for name in ("missing", "", "fifo", "large", "file/below")),
    ]


@given(
    st.integers(0, 3),
    st.integers(0),
    st.dictionaries(st.text(), st.text()),
    st.lists(st.text()).map(lambda texts: texts or [""]),
    st.lists(st.sampled_from(answers.HOLES)),
)
def test_what_is_written_is_read(status, entries, files, texts, holes):
    pieces = texts[:1]
    for hole, text in zip(holes, texts[1:], strict=False):
        pieces += [hole, text]
    place = {"image": "quay.io/os", "digest": "sha256:00", "plain_http": bool(status)}
    made = Answer(status, entries, "2026-11-30", files, pieces, **place)
    assert vars(made) == vars(Answer.decode(made.encode()))


@given(st.binary())
def test_any_other_bytes_are_no_answer(data):
    with contextlib.suppress(ValueError):
        Answer.decode(data)


def test_a_text_is_split_at_its_marks():
    marks = {"line": "XX", "time": "YY"}
    assert ["a", "line", "b", "time", "", "line", "c"] == split_text("aXXbYYXXc", marks)
    assert ["abc"] == split_text("abc", marks)
    filled = Answer(0, 3, "", {}, ["{", "seconds", ",", "bytes", "}", "time", "|", "line", ""])
    assert "{0.123,0}0.123|0 bytes read, 3 paths, 0.1 s" == filled.text(0.1234)
