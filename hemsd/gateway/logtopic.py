"""The log of this process for the broker, in few lines: what does not fit is counted, and nothing is waited for."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from hemsd.gateway import payloads
from hemsd.gateway.flood import Bucket
from hemsd.gateway.payloads import LogLevel, timestamp

WAITING_MAX = 50  # lines for a broker that is away; the newest stay
BURST, PER_S = 20, 0.5
TEXT_MAX = 1000  # characters

LEVELS: dict[int, LogLevel] = {
    logging.INFO: "info",
    logging.WARNING: "warning",
    logging.ERROR: "error",
    logging.CRITICAL: "error",
}


class LogTopic(logging.Handler):
    """Takes lines of at least this level, from any thread, until they are taken from it; `dropped` counts the others.

    `clock` is monotonic, in seconds.
    """

    def __init__(self, level: LogLevel, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(level.upper())
        self.dropped = 0
        self._clock = clock
        self._bucket = Bucket(BURST, PER_S)
        self._lines: deque[payloads.Log] = deque(maxlen=WAITING_MAX)
        self._heard: Callable[[], object] = lambda: None

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a line. Of an exception only what was said of it: a traceback may show values."""
        level = LEVELS.get(record.levelno)
        if level is None or not self._bucket.take(self._clock()):
            self.dropped += 1
            return
        self.dropped += len(self._lines) == WAITING_MAX
        ts = timestamp(datetime.fromtimestamp(record.created, UTC))
        self._lines.append(payloads.Log(ts=ts, level=level, logger=record.name, text=record.getMessage()[:TEXT_MAX]))
        self._heard()

    def take(self) -> payloads.Log | None:
        """The oldest that waits."""
        return self._lines.popleft() if self._lines else None

    @contextmanager
    def listening(self, heard: Callable[[], object]) -> Iterator[None]:
        """Take what is logged meanwhile; `heard` is called after each line, in whatever thread that is."""
        self._heard = heard
        logging.getLogger().addHandler(self)
        try:
            yield
        finally:
            logging.getLogger().removeHandler(self)
