"""Bars of tqdm on a terminal: what is drawn, and that nothing is left of it."""

import io
import re
import threading

from cosinspect.commands.bars import bytes_display, images_display
from cosinspect.commands.command import Terminal


class Screen(io.StringIO):
    def isatty(self):
        return True


def drawn(screen):
    """The lines of a terminal after the text: a carriage return, a line feed and a line up move the cursor."""
    rows, row, column = [""], 0, 0
    for piece in re.findall(r"\x1b\[A|\r|\n|[^\x1b\r\n]+", screen.getvalue()):
        if piece == "\x1b[A":
            row = max(row - 1, 0)
        elif piece == "\r":
            column = 0
        elif piece == "\n":
            row, column = row + 1, 0
            rows.extend([""] * (row + 1 - len(rows)))
        else:
            line = rows[row].ljust(column)
            rows[row] = line[:column] + piece + line[column + len(piece) :]
            column += len(piece)
    return [line.rstrip() for line in rows]


def test_layers_in_progress_have_a_line_each():
    screen = Screen()
    with bytes_display(Terminal(screen, screen, progress=True)) as bars:
        layers = [bars.add_task(name, total=2_000_000, visible=False) for name in ("one", "two", "three")]
        whole = bars.add_task("3 layers", total=6_000_000)
        bars.advance(layers[0], 500_000)
        bars.show(layers[0], visible=True)
        bars.advance(whole, 500_000)
        bars.show(layers[1], visible=True)
        shown = drawn(screen)
        assert [line.split()[0] for line in shown if line] == ["3", "one", "two"]
        assert "500k/2.00MB" in shown[1]

        bars.show(layers[0], visible=False)
        bars.advance(whole, 5_500_000)
    assert not any(drawn(screen))


def test_a_line_above_stays():
    screen = Screen()
    with images_display(Terminal(screen, screen, progress=True)) as bars:
        images = bars.add_task("images", total=None)
        bars.write_above("pass       one")
        bars.complete(images, 1, 2)
        bars.write_above("pass       two")
    assert ["pass       one", "pass       two"] == [line for line in drawn(screen) if line]


def test_several_threads_count_together():
    screen = Screen()
    with bytes_display(Terminal(screen, screen, progress=True)) as bars:
        task = bars.add_task("layers", total=40_000)

        def read():
            for _ in range(1000):
                bars.advance(task, 10)

        threads = [threading.Thread(target=read) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        bars.complete(task, 40_000, 40_000)
        bars.write_above("done")
        assert "40.0k/40.0kB" in " ".join(drawn(screen))
