"""Log lines for the journal, with priorities, or for a person at a terminal."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from typing import TextIO

PRIORITY = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}  # syslog(3)


class JournalFormatter(logging.Formatter):
    """Every line begins with its priority as sd-daemon(3) says, those of a traceback too."""

    def format(self, record: logging.LogRecord) -> str:
        """The record with `<3>` or the like before each line."""
        prefix = f"<{PRIORITY.get(record.levelno, 6)}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def marked(text: str, level: int, stream: TextIO = sys.stderr, environ: Mapping[str, str] = os.environ) -> str:
    """Lines for a stream, each with its priority where that is the journal."""
    if not _is_journal(stream, environ):
        return text
    return "\n".join(f"<{PRIORITY[level]}>{line}" for line in text.splitlines())


def set_up(level: str, stream: TextIO = sys.stderr, environ: Mapping[str, str] = os.environ) -> None:
    """Send logs of at least this level ("debug", "info", "warning", "error") to the stream, unless set up before."""
    handler = logging.StreamHandler(stream)
    if _is_journal(stream, environ):
        handler.setFormatter(JournalFormatter("%(message)s"))
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    logging.basicConfig(level=level.upper(), handlers=[handler])


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether the stream is the one systemd connected to the journal (systemd.exec(5), $JOURNAL_STREAM)."""
    if "JOURNAL_STREAM" not in environ:
        return False
    about = os.fstat(stream.fileno())
    return environ["JOURNAL_STREAM"] == f"{about.st_dev}:{about.st_ino}"
