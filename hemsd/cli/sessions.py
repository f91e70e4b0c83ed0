"""`hemsd record` and `hemsd replay`: a serial session on paper, and back through the driver."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from enum import Enum
from pathlib import Path
from typing import Any, TextIO

from drivers.anymodule import AnyModule
from drivers.masking import Masker
from drivers.module import ECHONET_PORT, Credentials, Datagram, Event
from drivers.ports import BytePort, Pump
from drivers.transcript import (
    Recorder,
    RxReplay,
    Transcript,
    TranscriptError,
    read_published,
    read_transcript,
    serve_on_pty,
)
from hemsd.cli.answer import show, wanted
from hemsd.cli.connect import config_of, meter_of
from hemsd.cli.direct import read
from hemsd.cli.exits import Exit, UsageError
from hemsd.echonet.describe import describe_frame
from hemsd.echonet.frame import FrameError, decode


def record(arguments: argparse.Namespace) -> int:
    """Read everything the meter has while each message is written down, masked."""
    config = config_of(arguments)
    if (interface := arguments.interface or (None if arguments.port else config.meter.interface)) is not None:
        raise UsageError(
            f"record writes serial sessions; what passes on a network interface tcpdump does: "
            f"sudo tcpdump -i {interface} -w session.pcap udp port 3610"
        )
    if arguments.file.exists():
        raise UsageError(f"{arguments.file} exists already; name a new file")

    async def main() -> None:
        with ExitStack() as closing:

            def wrap(port: BytePort, credentials: Credentials) -> BytePort:  # without a port there is no file
                return Recorder(port, closing.enter_context(_new(arguments.file)), Masker(credentials))

            async with meter_of(arguments, config, wrap=wrap) as meter:
                await meter.online()
                show(await read(meter, wanted(["all"], as_json=False)), as_json=False)
                if arguments.seconds is not None:
                    with suppress(TimeoutError):
                        await asyncio.wait_for(meter.ended(), arguments.seconds)

    try:
        asyncio.run(main())
    finally:  # what went wrong is worth a recording most of all
        if arguments.file.exists():
            print(f"written to {arguments.file}; ID, password, addresses and serial numbers in it are masked")
    return Exit.READ


def _new(path: Path) -> TextIO:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    return os.fdopen(descriptor, "w", buffering=1, encoding="utf-8")


def replay(arguments: argparse.Namespace) -> int:
    """Show what the driver makes of a session, one JSON object an event; or put the session on a pty."""
    transcript = _load(arguments.file)
    player = RxReplay(transcript, name=str(arguments.file), real_time=arguments.real_time)
    asyncio.run(_serve(player) if arguments.pty else _play(player, _print))
    return Exit.READ


def _load(path: Path) -> Transcript:
    try:
        text = path.read_text("utf-8")
        return read_transcript(text) if text.startswith("# hemsd transcript") else read_published(text)
    except OSError as error:
        raise UsageError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: this is not UTF-8 text (byte {error.start})") from error
    except TranscriptError as error:
        raise UsageError(f"{path}, {error}") from error


async def _serve(player: RxReplay) -> None:
    async with serve_on_pty(player) as path:
        print(f"replaying on {path}; it begins with the first byte written there", flush=True)
        await player.finished()


async def _play(player: RxReplay, on_event: Callable[[Event], None]) -> None:
    pumping = asyncio.create_task(Pump(AnyModule(), player, on_event).run(), name="replay pump")
    finished = asyncio.create_task(player.finished(), name="replay")
    await asyncio.wait([pumping, finished], return_when=asyncio.FIRST_COMPLETED)
    for task in (pumping, finished):
        if task.done():
            task.result()
        task.cancel()


def _print(event: Event) -> None:
    told: dict[str, Any] = {"event": type(event).__name__}
    told |= _fields(event)
    if isinstance(event, Datagram) and event.port == ECHONET_PORT:
        try:
            told["frame"] = describe_frame(decode(event.payload))
        except FrameError as error:
            told["frame"] = {"error": str(error)}
    print(json.dumps(told, ensure_ascii=False), flush=True)


def _plain(value: object) -> Any:
    match value:
        case bytes():
            return value.hex().upper()
        case Enum():
            return value.name.lower()
        case str() | int() | None:
            return value
        case _:  # a PAN
            return _fields(value)


def _fields(value: Any) -> dict[str, Any]:
    """The fields of an event, or of the dataclass in it."""
    return {name: _plain(getattr(value, name)) for name in type(value).__match_args__}
