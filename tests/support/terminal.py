"""A person at a terminal: a program on a pty of its own, answered question by question."""

from __future__ import annotations

import os
import pty
import select
import signal
import time
from collections.abc import Sequence

import pytest

LONGEST_S = 60.0
PIECE = 4096
FORKS = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
"""For a test that may have threads when it begins a conversation; the program is another one at once."""


class Conversation:
    """A program at a terminal. `said` is all that the terminal has shown, the echo of what was typed too."""

    def __init__(self, command: Sequence[str]) -> None:
        self.said = ""
        self._answered = 0  # characters of it
        self._pid, self._terminal = pty.fork()
        if self._pid == 0:
            os.execvp(command[0], command)

    def answer(self, question: str, text: str) -> None:
        """Wait for a question, and type a line."""
        until = time.monotonic() + LONGEST_S
        while question not in self.said[self._answered :]:
            assert self._hear(until), f"{question!r} did not come: {self.said}"
        self._answered = len(self.said)
        os.write(self._terminal, text.encode() + b"\n")

    def end(self) -> int:
        """Wait for the program to end; its exit code."""
        until = time.monotonic() + LONGEST_S
        while self._hear(until):
            pass
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])

    def _hear(self, until: float) -> bool:
        """Take in what is said next; false where the program has ended."""
        if not select.select([self._terminal], [], [], max(0.0, until - time.monotonic()))[0]:
            os.kill(self._pid, signal.SIGKILL)
            raise AssertionError(f"nothing more was said: {self.said}")
        try:
            piece = os.read(self._terminal, PIECE)
        except OSError:  # EIO: nobody has the other end open
            return False
        self.said += piece.decode(errors="replace")
        return bool(piece)
