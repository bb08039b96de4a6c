"""Policies out of text, and what they find in images made of paths."""

from __future__ import annotations

from datetime import date

from cosinspect import inspect
from cosinspect.policy import load_policy
from cosinspect.testing import ImageBuilder

TODAY = date(2026, 11, 25)


def written(directory, text, name="own"):
    path = directory / f"{name}.toml"
    path.write_text(f'name = "{name}"\n{text}')
    return path


def rule(table, **keys):
    """A rule as TOML; values that begin with a bracket or are no strings stand as they are."""
    lines = {"id": "OWN001", "name": "own-rule", **keys}
    shown = {
        key: str(value).lower()
        if isinstance(value, bool)
        else str(value)
        if isinstance(value, int)
        else f"'{value}'"
        for key, value in lines.items()
    }
    return f"[[{table}]]\n" + "".join(f"{key} = {value}\n" for key, value in shown.items())


def result_of(directory, entries, text, *, check="OWN001", labels=None, steps=1):
    """What a policy's check says of an image of one layer, or of several alike."""
    builder = ImageBuilder(labels=labels or {})
    for _ in range(steps):
        builder = builder.layer(entries, created_by="COPY all")
    image = builder.build().write_layout(directory / "image")
    report = inspect(image, policies=[load_policy(written(directory, text))], today=TODAY)
    return next(each for each in report.results if each.check == check)
