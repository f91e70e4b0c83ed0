from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hemsd.daemon import logs


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """The lines of a process whose logs go to a file, which is the journal or is not."""

    def write(level: str, *, journal: bool) -> list[str]:
        root = logging.getLogger()
        monkeypatch.setattr(root, "handlers", [])
        monkeypatch.setattr(root, "level", root.level)
        with (tmp_path / "log").open("w") as stream:
            about = os.fstat(stream.fileno())
            inode = about.st_ino if journal else about.st_ino + 1
            logs.set_up(level, stream, {"JOURNAL_STREAM": f"{about.st_dev}:{inode}"})
            logging.getLogger("hemsd").debug("frame")
            logging.getLogger("hemsd").info("online")
            try:
                raise ValueError("ours")
            except ValueError:
                logging.getLogger("hemsd").exception("meter failed")
        return (tmp_path / "log").read_text().splitlines()

    return write


def test_journal_lines_carry_their_priority(written: Callable[..., list[str]]) -> None:
    """Under systemd every line has its priority, each line of a traceback too, and no time of its own."""
    lines = written("info", journal=True)
    assert lines[:2] == ["<6>online", "<3>meter failed"]
    assert all(line.startswith("<3>") for line in lines[1:])
    assert lines[-1] == "<3>ValueError: ours"


def test_a_person_reads_time_and_level(written: Callable[..., list[str]]) -> None:
    """Anything but the journal's own stream gets lines for people, JOURNAL_STREAM inherited or not."""
    lines = written("debug", journal=False)
    assert [line.split()[1:] for line in lines[:2]] == [["DEBUG", "frame"], ["INFO", "online"]]
