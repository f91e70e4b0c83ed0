"""A real mosquitto on free ports of the loopback interface, certificates for it, an observer, and a wire to cut."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import aiomqtt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from support.published import check

USER, PASSWORD = "hemsd", "correct-horse"
WITHIN_S = 30.0  # for a machine that does much else

CONFIG = """
{user}
{options}
per_listener_settings true
{persistence}
log_dest none
listener {open} 127.0.0.1
allow_anonymous true
listener {guarded} 127.0.0.1
allow_anonymous false
password_file {directory}/passwords
listener {tls} 127.0.0.1
allow_anonymous false
acl_file {directory}/acl
cafile {pki}/ca.crt
certfile {pki}/server.crt
keyfile {pki}/server.key
require_certificate true
use_identity_as_username true
tls_version tlsv1.2
"""
ACL = f"""
user {USER}
topic readwrite hemsd/#
user viewer
topic read #
"""


class Pki:
    """A certificate authority in a directory; issue() writes NAME.crt and NAME.key there."""

    def __init__(self, directory: Path, name: str = "ca") -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._subject = _named(name)
        self._write(name, self._key, self._certificate(self._subject, self._key, timedelta(days=3), ca=True))

    def issue(self, name: str, *, valid: timedelta = timedelta(days=3)) -> None:
        """A certificate for localhost and for a client of that name; `valid` may be negative."""
        key = ec.generate_private_key(ec.SECP256R1())
        self._write(name, key, self._certificate(_named(name), key, valid, ca=False))

    def _certificate(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, valid: timedelta, *, ca: bool
    ) -> x509.Certificate:
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        end = datetime.now(UTC) + valid
        builder = x509.CertificateBuilder(self._subject, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(end - timedelta(days=365)).not_valid_after(end)
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        if not ca:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self._key, hashes.SHA256())

    def _write(self, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.directory / f"{name}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
        (self.directory / f"{name}.key").write_bytes(pem)
        (self.directory / f"{name}.key").chmod(0o600)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def make_pki(directory: Path) -> Pki:
    """An authority with a server, the clients hemsd and viewer, and one client whose time is over."""
    pki = Pki(directory)
    for name in ("server", USER, "viewer"):
        pki.issue(name)
    pki.issue("late", valid=timedelta(days=-1))
    return pki


@dataclass
class Ports:
    """Where the broker listens: to anyone, to USER with PASSWORD, and over TLS to the clients of the authority."""

    open: int
    guarded: int
    tls: int


class Mosquitto:
    """A broker; use with `with`. stop() and start() again keep the ports.

    It keeps nothing over that, or where it is persistent what was there at the last save(). `options` are further
    lines of its configuration.
    """

    def __init__(self, directory: Path, pki: Pki, *, persistent: bool = False, options: str = "") -> None:
        self._options = options
        self._persistence = "persistence false"
        if persistent:
            self._persistence = f"persistence true\npersistence_location {directory}/\nautosave_interval 0"
        self.ports = Ports(0, 0, 0)
        self._directory = directory
        self._pki = pki
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        (self._directory / "acl").write_text(ACL)
        passwords = self._directory / "passwords"
        subprocess.run(
            ["mosquitto_passwd", "-b", "-c", passwords, USER, PASSWORD], check=True, stderr=subprocess.DEVNULL
        )
        for path in ("acl", "passwords"):
            (self._directory / path).chmod(0o600)
        for _ in range(5):  # a free port may be taken by another before the broker has it
            self.ports = Ports(*_free_ports(3))
            with suppress(OSError):
                self.start()
                return self
        raise OSError("mosquitto does not start")

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start and wait until it answers: a signal sent to it before would end it. Raises OSError."""
        user = "user root" if os.geteuid() == 0 else ""
        told = {"user": user, "options": self._options, "persistence": self._persistence}
        places = {"directory": self._directory, "pki": self._pki.directory}
        path = self._directory / "mosquitto.conf"
        path.write_text(CONFIG.format(**told, **places, **vars(self.ports)))
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self._process = subprocess.Popen([program, "-c", path], stderr=subprocess.DEVNULL)
        until = time.monotonic() + WITHIN_S
        while self._process.poll() is None and time.monotonic() < until:
            if all(_listens(port) for port in vars(self.ports).values()) and _answers(self.ports.open):
                return
            time.sleep(0.01)
        self.stop()
        raise OSError("mosquitto ended or does not listen")

    def stop(self) -> None:
        """Kill it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def save(self) -> None:
        """Let it write what it has to its disk, and wait until it did."""
        path = self._directory / "mosquitto.db"
        path.unlink(missing_ok=True)
        self._signal(signal.SIGUSR1)
        _wait_for(path.exists)

    def allow(self, rules: str) -> None:
        """Give the clients of the TLS listener other rights."""
        (self._directory / "acl").write_text(rules)
        self._signal(signal.SIGHUP)

    def freeze(self) -> None:
        """Let it accept connections, as the kernel does for it, and do nothing else."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _wait_for(there: Callable[[], bool]) -> None:
    until = time.monotonic() + WITHIN_S
    while not there() and time.monotonic() < until:
        time.sleep(0.01)
    assert there()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(port: int) -> bool:
    """Whether a CONNECT of MQTT 3.1.1 is acknowledged."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), WITHIN_S) as probe:
        probe.sendall(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x05\x00\x00")
        return probe.recv(4)[:1] == b"\x20"
    return False


class Observer:
    """Another client: everything that was published, in the order it came, checked against the schemas."""

    def __init__(self, client: aiomqtt.Client) -> None:
        self._client = client
        self.seen: list[aiomqtt.Message] = []

    async def until(self, done: Callable[[list[aiomqtt.Message]], Any]) -> list[aiomqtt.Message]:
        """Listen until what was seen satisfies `done`, and return all of it. Raises TimeoutError."""
        async with asyncio.timeout(WITHIN_S):
            messages = aiter(self._client.messages)
            while not done(self.seen):
                self.seen.append(message := await anext(messages))
                check(str(message.topic), message.payload)
        return self.seen

    async def next(self, topic: str) -> aiomqtt.Message:
        """Forget what was seen and return the next message on a topic."""
        self.seen.clear()
        return (await self.until(lambda seen: seen and str(seen[-1].topic) == topic))[-1]

    async def payloads(self, topic: str, count: int) -> list[str]:
        """The first payloads seen on a topic."""
        await self.until(lambda _: len(self._on(topic)) >= count)
        return self._on(topic)

    def _on(self, topic: str) -> list[str]:
        return [str(message.payload, "utf-8") for message in self.seen if str(message.topic) == topic]


@asynccontextmanager
async def observer(
    port: int, pki: Pki | None = None, topic: str = "#", *, session: str | None = None
) -> AsyncIterator[Observer]:
    """Watch a broker; with an authority over TLS as the client `viewer`; in a `session` that outlives it."""
    tls = None
    if pki is not None:
        tls = ssl.create_default_context(cafile=pki.directory / "ca.crt")
        tls.verify_flags &= ~ssl.VERIFY_X509_STRICT  # the certificates are as plain as home-made ones are
        tls.load_cert_chain(pki.directory / "viewer.crt", pki.directory / "viewer.key")
    version = aiomqtt.ProtocolVersion.V311
    lasting = {} if session is None else {"identifier": session, "clean_session": False}
    async with aiomqtt.Client("127.0.0.1", port, tls_context=tls, protocol=version, **lasting) as client:  # type: ignore[arg-type]
        await client.subscribe(topic, qos=1)
        yield Observer(client)


class Wire:
    """A TCP relay to the broker that can be cut, and a broker's manners that mosquitto does not have."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._streams: set[asyncio.StreamWriter] = set()
        self.port = _free_ports(1)[0]
        self.deaf = False  # swallows what the broker answers
        self.answer_to_5: bytes | None = None  # said instead of relaying a CONNECT of MQTT 5; b"": hangs up
        self.connections = 0

    async def join(self) -> None:
        """Accept and relay connections."""
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)

    async def cut(self) -> None:
        """End all connections and refuse new ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for stream in list(self._streams):
            stream.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        first = await reader.read(4096)
        if self.answer_to_5 is not None and b"MQTT\x05" in first:
            writer.write(self.answer_to_5)
            writer.close()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._streams |= {writer, far_writer}
        far_writer.write(first)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await asyncio.gather(self._pipe(reader, far_writer), self._pipe(far_reader, writer, back=True))
        for stream in (writer, far_writer):
            stream.transport.abort()
            self._streams.discard(stream)

    async def _pipe(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, back: bool = False) -> None:
        while data := await source.read(4096):
            if not (back and self.deaf):
                sink.write(data)
        sink.close()


@asynccontextmanager
async def wire(target: int) -> AsyncIterator[Wire]:
    """A relay to a port, connected."""
    made = Wire(target)
    await made.join()
    try:
        yield made
    finally:
        await made.cut()
