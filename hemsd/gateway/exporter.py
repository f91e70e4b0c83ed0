"""Answers Prometheus: an HTTP/1.1 server for GET /metrics and nothing else (RFC 9112).

Small on purpose: a few connections at a time, one request on each, all of it within seconds and a few kilobytes.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from drivers.tcp import listen
from hemsd.gateway.config import MetricsConfig
from hemsd.gateway.metrics import Metrics
from hemsd.hub.hub import Place

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

CONNECTIONS_MAX = 8  # at once; one Prometheus needs one
REQUEST_MAX = 8192  # bytes of request line and headers
WITHIN_S = 5.0  # from the connection to the end of the answer
TOLD_EVERY_S = 1.0
PATH = "/metrics"
NOT_INSTALLED = "metrics need prometheus-client: install hemsd with it, pip install 'hemsd[metrics]'"

_REQUEST = re.compile(rb"([A-Z]{1,16}) (/[!-~]{0,1024}) HTTP/1\.[01]\r\n")
_TEXT = "text/plain; charset=utf-8"


class MetricsError(Exception):
    """The metrics cannot be served; the text says why and what to do."""


class MetricsMissing(MetricsError):
    """Something has to be installed first."""


class Exporter:
    """A seat of the gateway in the hub on one side, whoever asks for metrics on the other.

    `lan` is the interface to the home network, where that is known.
    """

    def __init__(
        self,
        seat: Place,
        config: MetricsConfig,
        site: str,
        lan: str | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seat = seat
        self._config = config
        self._lan = lan
        self._clock = clock
        self._metrics = Metrics(site)
        self._connections: set[asyncio.Task[None]] = set()
        self._told = (0.0, b"")  # when the metrics were put into words last, and these

    async def run(self) -> None:
        """Serve until cancelled. Raises MetricsError, MetricsMissing."""
        registry = self._registry()
        if self._config.on_lan and self._lan is None:
            raise MetricsError(
                f"{self._config.host} is for the home network only, and which interface leads there is not known: "
                "name it in [lan], or an address in listen"
            )

        def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(self._connections) == CONNECTIONS_MAX:
                writer.transport.abort()
                return
            task = asyncio.create_task(self._serve(reader, writer, registry), name="metrics")
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
            task.add_done_callback(lambda _: writer.transport.abort())

        try:
            listening = listen(self._config.host, self._config.port, self._lan)
            server = await asyncio.start_server(serve, sock=listening, limit=REQUEST_MAX)
        except OSError as error:
            where = f"{self._config.host}, port {self._config.port}"
            why = (error.strerror or str(error)).lower()
            raise MetricsError(f"metrics cannot be served at {where}: {why}; see listen") from error
        try:
            await self._seat.listen(lambda message: self._metrics.hear(message, self._clock()))
        finally:
            server.close()
            for task in self._connections:
                task.cancel()
            await asyncio.gather(*self._connections, return_exceptions=True)

    def _registry(self) -> CollectorRegistry:
        try:
            from prometheus_client import CollectorRegistry

            registry = CollectorRegistry(auto_describe=False)
            registry.register(self._metrics.collector(self._clock))
        except ImportError:
            raise MetricsMissing(NOT_INSTALLED) from None
        return registry

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, registry: CollectorRegistry
    ) -> None:
        try:
            async with asyncio.timeout(WITHIN_S):
                writer.write(await self._answered(reader, registry))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError):
            pass  # whoever asked went away, or is too slow

    async def _answered(self, reader: asyncio.StreamReader, registry: CollectorRegistry) -> bytes:
        from prometheus_client.exposition import CONTENT_TYPE_LATEST

        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _answer("431 Request Header Fields Too Large", b"too long\n")
        except asyncio.IncompleteReadError:
            return b""
        if (request := _REQUEST.match(head)) is None:
            return _answer("400 Bad Request", b"this is not an HTTP/1.1 request\n")
        method, path = request[1], request[2].decode("ascii").partition("?")[0]
        if method not in (b"GET", b"HEAD"):
            return _answer("405 Method Not Allowed", b"only GET and HEAD\n", more="Allow: GET, HEAD\r\n")
        if path != PATH:
            return _answer("404 Not Found", f"metrics are at {PATH}\n".encode())
        return _answer("200 OK", self._text(registry), kind=CONTENT_TYPE_LATEST, only_head=method == b"HEAD")

    def _text(self, registry: CollectorRegistry) -> bytes:
        """The metrics; put into words at most once a second, however often they are asked for."""
        from prometheus_client.exposition import generate_latest

        now, (at, text) = self._clock(), self._told
        if not text or now - at >= TOLD_EVERY_S:
            text = generate_latest(registry)
            self._told = now, text
        return text


def _answer(status: str, body: bytes, *, kind: str = _TEXT, more: str = "", only_head: bool = False) -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + (b"" if only_head else body)
