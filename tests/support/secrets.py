"""Looking for secrets where they must not be, in whatever form somebody might have written them."""

from __future__ import annotations

import asyncio
import base64
import re
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path

APART_MAX = 200  # characters between the halves of one that was split, as by the beginning of a line of the log
SEPARATORS = bytes(byte for byte in range(256) if not chr(byte).isalnum() or byte >= 0x80)


def forms(secret: bytes) -> dict[str, bytes]:
    """How it could be written, by name; in small letters and without anything between them but for the first."""
    found = {"itself": secret, "letters": secret, "hexadecimal": secret.hex().encode()}
    for skipped in range(3):  # by its place in something longer, what is certain of it in Base64
        begun = base64.b64encode(bytes(skipped) + secret)
        length = 8 * (skipped + len(secret)) // 6
        found[f"Base64 after {skipped}"] = begun[-(-8 * skipped // 6) : length]
    lowered = {name: form.lower() for name, form in found.items()}
    return {name: form if name == "itself" else _bare(form) for name, form in lowered.items()}


def given_away(places: Mapping[str, bytes], secrets: Mapping[str, bytes]) -> list[str]:
    """Which secret is found where, and in which form."""
    sought = {name: forms(secret) for name, secret in secrets.items()}
    return [
        f"{name} in {place}, {form}"
        for place, content in places.items()
        for form, name in _found(content.lower(), _bare(content.lower()), sought)
    ]


def _found(content: bytes, bare: bytes, sought: Mapping[str, Mapping[str, bytes]]) -> Iterator[tuple[str, str]]:
    for name, written in sought.items():
        for form, pattern in written.items():
            if form == "itself":
                if pattern in content:
                    yield form, name
            elif len(pattern) < 8:  # of binary ones little is left, and that is anywhere
                continue
            elif pattern in bare:
                yield form, name
            elif re.search(_split(pattern), bare, re.DOTALL):
                yield f"{form}, in two parts", name


def _split(pattern: bytes) -> bytes:
    half = len(pattern) // 2
    return re.escape(pattern[:half]) + b".{0,%d}" % APART_MAX + re.escape(pattern[half:])


def _bare(content: bytes) -> bytes:
    return content.translate(None, SEPARATORS)


def files(directory: Path, *made_to_hold: str) -> dict[str, bytes]:
    """Every file below a directory, and databases as text besides; but for those of these names."""
    found = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file() and path.name not in made_to_hold:
            name = str(path.relative_to(directory))
            found[name] = path.read_bytes()
            if path.suffix == ".db":
                with closing(sqlite3.connect(path)) as database:
                    found[f"{name} as text"] = "\n".join(database.iterdump()).encode()
    return found


def memory(pid: int) -> bytes:
    """All that a process of ours could write to, as it is now."""
    parts = []
    with Path(f"/proc/{pid}/mem").open("rb", buffering=0) as content:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, *_ = line.split()
            if rights.startswith("rw"):
                begin, end = (int(each, 16) for each in span.split("-"))
                content.seek(begin)
                parts.append(content.read(end - begin) or b"")
    return b"\n".join(parts)


@dataclass
class Tap:
    """Relays between those who come to a Unix socket and another one, and keeps what passed."""

    passed: bytearray = field(default_factory=bytearray)

    @asynccontextmanager
    async def between(self, here: Path, there: Path) -> AsyncIterator[None]:
        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far_reader, far_writer = await asyncio.open_unix_connection(there)
            await asyncio.gather(self._pipe(reader, far_writer), self._pipe(far_reader, writer))

        server = await asyncio.start_unix_server(relay, here)
        try:
            yield
        finally:
            server.close()

    async def _pipe(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(65536):
                self.passed += data
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass  # the other side is told by closing
        finally:
            sink.close()


@asynccontextmanager
async def tapped(here: Path, there: Path, names: Iterable[str]) -> AsyncIterator[dict[str, Tap]]:
    """Taps for sockets of these names in two directories."""
    async with AsyncExitStack() as stack:
        taps = {name: Tap() for name in names}
        for name, tap in taps.items():
            await stack.enter_async_context(tap.between(here / f"{name}.sock", there / f"{name}.sock"))
        yield taps
