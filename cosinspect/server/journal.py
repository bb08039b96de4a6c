"""The server's log: one line for each decision, registry failure and error, as text for people or as JSON for programs.

Every module logs with the standard library; this module adds the values that a request binds, and formats the records.
"""

from __future__ import annotations

import contextlib
import enum
import logging
import threading
from collections import deque
from collections.abc import Iterator, MutableMapping
from typing import Any, TextIO

import structlog
from structlog.contextvars import bind_contextvars, bound_contextvars, merge_contextvars
from structlog.stdlib import ExtraAdder, ProcessorFormatter

from cosinspect.report.display import printable

__all__ = ["LogFormat", "bind", "bound", "journal"]

FIRST_KEYS = ("time", "level", "event", "request_id")
"""Keys that open a line of JSON; the others follow in the order in which they were added."""
OTHER_LOGGERS = ("uvicorn.error", "asyncio")
"""Libraries whose errors go to the log with their tracebacks."""
MAX_TEXT = 4096
"""The most characters of a value; a name in a request can be as long as the request."""
MAX_WAITING = 8 * 1024 * 1024
"""Characters that wait for whoever reads the log; what comes beyond is lost, and counted."""
LAST_SECONDS = 2.0
"""What the last lines may take until the process ends without them."""


class LogFormat(enum.Enum):
    """The form of the log's lines."""

    HUMAN = "human"
    JSON = "json"


@contextlib.contextmanager
def journal(stream: TextIO, form: LogFormat, *, quiet: bool = False, verbose: bool = False) -> Iterator[None]:
    """Write the log to a stream while the block runs.

    Args:
        stream: receives the lines.
        form: of the lines.
        quiet: write errors only.
        verbose: write each request to a registry and each skipped image as well.
    """
    handler = _Writer(stream)
    handler.setFormatter(_formatter(form))
    levels = {
        "cosinspect": logging.INFO if verbose else logging.WARNING,
        "cosinspect.server": logging.DEBUG if verbose else logging.INFO,
        **dict.fromkeys(OTHER_LOGGERS, logging.ERROR),
    }
    before = {name: logging.getLogger(name).level for name in levels}
    for name, level in levels.items():
        logging.getLogger(name).setLevel(logging.ERROR if quiet else level)
    attached = [logging.getLogger(name) for name in ("cosinspect", *OTHER_LOGGERS)]
    for logger in attached:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in attached:
            logger.removeHandler(handler)
        handler.close()
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def bound(**values: object) -> contextlib.AbstractContextManager[None]:
    """Add values to every line that this task and its children log while the block runs."""
    return bound_contextvars(**values)


def bind(**values: object) -> None:
    """Add values to every line that this task and its children log until the enclosing `bound` ends."""
    bind_contextvars(**values)


class _Writer(logging.Handler):
    """Writes lines in a thread: a reader that is slow or gone delays no request."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: deque[str] = deque()
        self._waiting = 0
        self._lost = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record) + "\n"
        with self._changed:
            if self._waiting + len(line) > MAX_WAITING:
                self._lost += 1
                return
            self._lines.append(line)
            self._waiting += len(line)
            self._changed.notify()

    def close(self) -> None:
        """Write what waits, for a bounded time."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(LAST_SECONDS)
        super().close()

    def _write(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._lines or self._closed)
                if not self._lines:
                    return
                text, lost = "".join(self._lines), self._lost
                self._lines.clear()
                self._waiting = self._lost = 0
            if lost:
                text += self._told_loss(lost)
            with contextlib.suppress(OSError, ValueError):
                self._stream.write(text)
                self._stream.flush()

    def _told_loss(self, lines: int) -> str:
        event = "lines of the log are lost: its reader is too slow"
        name = "cosinspect.server"
        record = logging.getLogger(name).makeRecord(
            name, logging.ERROR, __file__, 0, event, (), None, extra={"lines": lines}
        )
        return self.format(record) + "\n"


def _formatter(form: LogFormat) -> logging.Formatter:
    rendering: list[Any] = (
        [structlog.processors.JSONRenderer(ensure_ascii=True)]
        if form is LogFormat.JSON
        else [
            _printable,
            structlog.dev.ConsoleRenderer(
                colors=False,
                pad_event_to=0,
                pad_level=False,
                sort_keys=False,
                timestamp_key="time",
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
    )
    return ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            merge_contextvars,
            ExtraAdder(),
            structlog.processors.format_exc_info,
        ],
        processors=[ProcessorFormatter.remove_processors_meta, _ordered, *rendering],
    )


def _ordered(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put the common keys first, and cut long values."""
    ordered = {key: event.pop(key) for key in FIRST_KEYS if key in event} | dict(event)
    for key, value in ordered.items():
        if isinstance(value, str) and key != "exception" and len(value) > MAX_TEXT:
            ordered[key] = f"{value[:MAX_TEXT]}…"
    return ordered


def _printable(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Escape characters that control a terminal or begin a new line; JSON escapes them anyway."""
    for key, value in event.items():
        if key == "exception":
            event[key] = "\n".join(printable(line) for line in str(value).splitlines())
        elif isinstance(value, str):
            event[key] = printable(value)
    return event
