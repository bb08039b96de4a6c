"""Progress for people: a bar for each layer that is being read, or one for many images; removed at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import TracebackType
from typing import Protocol, Self

from cosinspect.commands.command import Terminal
from cosinspect.image.image import Image
from cosinspect.layer.layer import Layer
from cosinspect.oci.documents import Digest

__all__ = ["ImageBar", "LayerBars", "image_bar", "layer_bars"]

SHORT_DIGEST = 12
"""The number of hexadecimal digits in a short digest, as in Docker."""


class _Display(Protocol):
    """Bars; `cosinspect.commands.bars` has the implementation."""

    def add_task(self, description: str, *, total: float | None, visible: bool = True) -> int: ...
    def advance(self, number: int, count: float, /) -> None: ...
    def complete(self, number: int, done: float, total: float | None, /) -> None: ...
    def show(self, number: int, /, *, visible: bool) -> None: ...
    def write_above(self, line: str, /) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class LayerBars:
    """Receives the progress of an inspection; without a display it shows nothing."""

    def __init__(self, display: _Display | None) -> None:
        self._display = display
        self._tasks: dict[Digest, tuple[int, int]] = {}

    def begin(self, image: Image) -> None:
        """Receive the layers that will be read, of each image."""
        if self._display is None:
            return
        sizes = {layer.descriptor.digest: layer.descriptor.size for layer in image.layers}
        tasks = {
            digest: self._display.add_task(digest.encoded[:SHORT_DIGEST], total=size, visible=False)
            for digest, size in sizes.items()
        }
        whole = self._display.add_task(f"{len(sizes)} layers", total=sum(sizes.values()))
        self._tasks |= {digest: (task, whole) for digest, task in tasks.items()}

    def advance(self, layer: Layer, count: int) -> None:
        """Receive the number of compressed bytes read of a layer; called from several threads."""
        if self._display is None or layer.descriptor.digest not in self._tasks:
            return
        task, whole = self._tasks[layer.descriptor.digest]
        self._display.advance(whole, count)
        self._display.advance(task, count)
        # Only layers in progress get a line: an image may have more layers than a terminal has lines.
        self._display.show(task, visible=count > 0)


class ImageBar:
    """Receives the progress of a scan: finished images, images per minute, remaining time.

    Attributes:
        is_shown: whether there is a bar.
    """

    def __init__(self, display: _Display | None) -> None:
        self._display = display
        self.is_shown = display is not None
        self._task = display.add_task("images", total=None) if display is not None else None

    def write_above(self, line: str) -> None:
        """Write a line above the bar, on the same terminal."""
        if self._display is not None:
            self._display.write_above(line)

    def tell(self, done: int, total: int | None) -> None:
        """Receive the number of finished images, and the total if known."""
        if self._display is not None and self._task is not None:
            self._display.complete(self._task, done, total)


@contextmanager
def image_bar(terminal: Terminal) -> Iterator[ImageBar]:
    """Show the progress of a scan on standard error while the block runs, if it is a terminal."""
    if not terminal.progress:
        yield ImageBar(None)
        return
    with _display("images_display", terminal) as display:
        yield ImageBar(display)


@contextmanager
def layer_bars(terminal: Terminal) -> Iterator[LayerBars]:
    """Show progress on standard error while the block runs, if it is a terminal."""
    if not terminal.progress:
        yield LayerBars(None)
        return
    with _display("bytes_display", terminal) as display:
        yield LayerBars(display)


def _display(kind: str, terminal: Terminal) -> _Display:
    found: _Display = getattr(import_module("cosinspect.commands.bars"), kind)(terminal)
    return found
