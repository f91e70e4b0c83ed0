"""The command line's end of the operator socket: lines in any pieces, and a daemon that says strange things."""

from __future__ import annotations

import json
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemsd.cli.asking import Daemon, Gone
from hemsd.hub.protocol import LINE_MAX, PROTOCOL

GREETING = json.dumps({"type": "Greeting", "hemsd": "0.1", "protocol": PROTOCOL}).encode() + b"\n"
messages = st.lists(st.fixed_dictionaries({"type": st.text(min_size=1), "x": st.text()}), max_size=8)


@contextmanager
def saying(data: bytes, sizes: list[int]) -> Iterator[str]:
    """A server that says these bytes in these pieces, then ends the connection; gives its path."""
    with tempfile.TemporaryDirectory() as directory, socket.socket(socket.AF_UNIX) as listening:
        path = str(Path(directory) / "operator.sock")
        listening.bind(path)
        listening.listen()

        def say() -> None:
            left = data
            with listening.accept()[0] as peer, suppress(BrokenPipeError):  # it may have heard enough
                for size in sizes:
                    peer.sendall(left[:size])
                    left = left[size:]
                peer.sendall(left)

        thread = threading.Thread(target=say, daemon=True)
        thread.start()
        yield path
        thread.join(10)


def heard(daemon: Daemon) -> list[dict[str, Any]]:
    """Everything to the end of the connection."""
    found = []
    try:
        while (message := daemon.next(time.monotonic() + 10)) is not None:
            found.append(message)
    except Gone:
        pass
    finally:
        daemon._socket.close()
    return found


@given(messages.filter(lambda told: all(each["type"] != "Closed" for each in told)), st.lists(st.integers(1, 60)))
def test_any_pieces_give_the_same_messages(told: list[dict[str, str]], sizes: list[int]) -> None:
    """Wherever the stream is cut, and whatever text is in it."""
    stream = GREETING + b"".join(json.dumps(each).encode() + b"\n" for each in told)
    with saying(stream, sizes) as path:
        assert heard(Daemon(path)) == told


@given(st.binary(max_size=100).map(lambda line: line.replace(b"\n", b"") + b"\n"))
def test_garbage_ends_the_connection_and_nothing_else(line: bytes) -> None:
    """Whatever is no message is no daemon of ours."""
    with saying(GREETING + line, []) as path:
        told = heard(Daemon(path))
    assert told == [] or "type" in told[0]


def test_a_line_without_an_end_fills_no_memory() -> None:
    """Past the cap it is no daemon of ours, whatever else may come."""
    with saying(GREETING + b"[" * (LINE_MAX + (1 << 16)), []) as path:
        daemon = Daemon(path)
        with pytest.raises(Gone, match="no hemsd"):
            daemon.next(time.monotonic() + 10)
        assert len(daemon._heard) <= LINE_MAX + (1 << 17)
        daemon._socket.close()
