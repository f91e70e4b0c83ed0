"""Which topics a broker keeps for us, over restarts of ours, so that none outlives what it is about.

Only a topic that stands here is ever cleared: the broker belongs to others, too.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from itertools import filterfalse
from pathlib import Path

import msgspec

from hemsd.gateway.files import read, replace

TOPICS_MAX = 8192
LENGTH_MAX = 512

_log = logging.getLogger("hemsd.gateway")


class Retained:
    """The topics of one broker, in a file. Trouble with the disk is logged once; what is known stays known."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._topics: set[str] = set()
        self._changed = False
        self._trouble = ""
        self._writing = threading.Lock()  # a connection may end, and the next begin, while a thread still writes
        try:
            kept = msgspec.json.decode(read(path), type=list[str])
        except FileNotFoundError:
            return
        except (OSError, ValueError, RecursionError) as error:
            _log.warning("%s cannot be used (%s): topics of what is gone may stay at the broker", path, error)
            return
        self._topics.update(topic for topic in kept[:TOPICS_MAX] if _is_topic(topic))

    @property
    def topics(self) -> frozenset[str]:
        """All of them."""
        return frozenset(self._topics)

    def expect(self, topics: Iterable[str]) -> bool:
        """To be called before publishing in these; whether the file is to be written first."""
        new = list(filterfalse(self._topics.__contains__, topics))[: TOPICS_MAX - len(self._topics)]
        self._topics.update(new)
        self._changed |= bool(new)
        return self._changed

    def cleared(self, topic: str) -> None:
        """The broker keeps nothing there any more; the file may be written with the next."""
        if topic in self._topics:
            self._topics.discard(topic)
            self._changed = True

    def write(self) -> None:
        """Write the file. Slow; may run in a thread."""
        self._changed = False
        try:
            with self._writing:
                replace(self._path, msgspec.json.encode(sorted(self._topics)))
        except OSError as error:
            if (trouble := error.strerror or str(error)) != self._trouble:
                _log.warning("%s cannot be written: %s; topics of what is gone may stay", self._path, trouble)
            self._trouble = trouble
        else:
            self._trouble = ""


def _is_topic(text: str) -> bool:
    return 0 < len(text) <= LENGTH_MAX and not set("+#\0") & set(text)
