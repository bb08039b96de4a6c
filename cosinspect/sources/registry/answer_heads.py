"""The head of an answer within one time-out, however slowly its bytes come.

A socket's time-out restarts with every byte, so a server that sends one now and then could hold a client for days
before its body, which is read under a deadline, even begins. Here the head as a whole has the time of one silence.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from typing import Any

__all__ = ["HeadInTime"]


class HeadInTime(http.client.HTTPConnection):
    """A connection that is given up when the head of its answer only drips in."""

    def getresponse(self) -> Any:
        """Return the answer when its head is complete.

        Raises:
            TimeoutError: the head is not complete within the read time-out, even if bytes arrive.
        """
        late = threading.Event()

        def give_up() -> None:
            late.set()
            if self.sock is not None:
                with contextlib.suppress(OSError):
                    self.sock.shutdown(socket.SHUT_RDWR)  # ends the read that waits for more

        seconds = self.timeout
        timer = threading.Timer(seconds, give_up) if isinstance(seconds, int | float) else None
        if timer:
            timer.daemon = True
            timer.start()
        try:
            response = super().getresponse()
        except Exception as fault:
            if late.is_set():
                raise TimeoutError("the head of the answer does not end") from fault
            raise
        finally:
            if timer:
                timer.cancel()
        if late.is_set():  # http.client takes the end of the connection for that of the headers
            response.close()
            raise TimeoutError("the head of the answer does not end")
        return response
