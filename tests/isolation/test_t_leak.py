"""T-LEAK (G.9958: R6, D1): whatever a house does, its secrets are where they are used and nowhere else.

Three processes at their most talkative read a meter with sealed credentials, publish to the broker of the house and
to a provider, sign, are asked by the command line, and meet a wrong password; the meter is recorded afterwards.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from support import parts
from support.cli import HURRIED, hemsd
from support.mosquitto import PASSWORD, USER, Mosquitto, Pki, make_pki, observer
from support.parts import PARTS, House, house, street
from support.pki import free_port, hemsd_pki
from support.secrets import files, given_away, memory, tapped

from drivers.module import Credentials
from hemsd.daemon.credentials import as_file
from hemsd.daemon.sealing import new_key, seal
from hemsd.hub.messages import BackfillProgress, MeterReading
from hemsd.simulator import Network

pytestmark = pytest.mark.needs("mosquitto")

SITE = "canary-of-leaks"  # no secret, and told everywhere: what is not found of it was not looked at
CLIENT = f"hemsd-{SITE}"
HOLDERS = ("credentials.key", "mqtt-password", "signing-key.pem", f"{CLIENT}.key", "ca.key", "server.key")
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
HURRIED_GATEWAY = "import hemsd.gateway.provider as provider; provider.SPREAD_S = 0.1\n"
SOCKETS = ("operator", "routeb", "gateway")


def network() -> Network:
    """Of a meter with an ID and a password that are nobody else's."""
    password = "".join(secrets.choice(LETTERS) for _ in range(12))
    return Network(route_b_id=secrets.token_hex(16).upper(), password=password)


def configuration(directory: Path, ours: Mosquitto, theirs: Mosquitto, metrics: int) -> str:
    """What a house says that has everything."""
    return f"""
[gateway]
exposure = "control"
sign = true
log = "info"
[gateway.broker]
url = "mqtt://127.0.0.1:{ours.ports.guarded}"
username = "{USER}"
password_file = "{directory}/mqtt-password"
[gateway.provider]
url = "mqtts://localhost:{theirs.ports.tls}"
ca_file = "{directory}/pki/ca.crt"
cert_file = "{directory}/pki/clients/{CLIENT}.crt"
key_file = "{directory}/pki/clients/{CLIENT}.key"
health = true
[gateway.metrics]
listen = "127.0.0.1:{metrics}"
"""


def write_private(path: Path, content: bytes) -> None:
    path.touch(0o600)
    path.write_bytes(content)


def furnish(home: House, of_meter: Network) -> None:
    """Give it sealed credentials and the password of its broker, and let it say all that it can."""
    key = new_key()
    write_private(home.directory / "credentials.key", key)
    credentials = as_file(Credentials(of_meter.route_b_id, of_meter.password))
    write_private(home.directory / "credentials.sealed", seal(credentials, key))
    write_private(home.directory / "mqtt-password", PASSWORD.encode())
    (home.directory / "credentials.toml").unlink()
    path = home.directory / "hemsd.toml"
    told = path.read_text().replace("credentials.toml", "credentials.sealed").replace("home-1", SITE)
    path.write_text(told.replace("[daemon]", '[daemon]\nlog_level = "debug"'))
    (home.directory / "run").mkdir()
    (home.directory / "hub").mkdir()


@dataclass
class Evidence:
    """Where the secrets of a house were looked for, and the secrets."""

    places: dict[str, bytes]
    secrets: dict[str, bytes]
    processes: dict[str, bytes]  # what each part had in its memory


def test_the_search_finds_every_form() -> None:
    """The control: planted as it is, in either case, in hexadecimal, in Base64, with blanks, or in two parts."""
    secret = b"N0BODYKNOWS1"
    hidden = {
        "plain": b"password=N0BODYKNOWS1;",
        "small": b"n0bodyknows1",
        "grouped": b"N0BO DYKN-OWS1",
        "in two lines": b"N0BODY\n12:00:00 DEBUG KNOWS1",
        "hexadecimal": b"4E30424F44594B4E4F575331",
        "bytes": b"4e:30:42:4f:44:59:4b:4e:4f:57:53:31",
        "Base64": b'"TjBCT0RZS05PV1Mx"',
        "Base64 of more": b"aWQ6TjBCT0RZS05PV1MxOw==",
        "Base64 of odd more": b"eHBOMEJPRFlLTk9XUzF4",
    }
    found = given_away(hidden, {"it": secret})
    assert {each.split(" in ")[1].split(", ")[0] for each in found} == hidden.keys()
    assert given_away({"another": b"N0BODYKNOWS2 4e30424f44594b4e4f575332 TjBCT0RZS05PV1My"}, {"it": secret}) == []
    assert given_away({"key": b"..." + bytes(range(200, 232))}, {"it": bytes(range(200, 232))})


@pytest.fixture
def brokers(tmp_path: Path) -> Iterator[tuple[Mosquitto, Mosquitto]]:
    """That of the house, and a provider's with what `hemsd pki` made."""
    made = hemsd_pki(tmp_path / "home/pki", "--broker", "localhost", "--client", CLIENT)
    assert made.code == 0, made.err
    (tmp_path / "home/pki.log").write_text(made.out + made.err)
    with ExitStack() as stack:
        for name in ("ours", "theirs"):
            (tmp_path / name).mkdir()
        plain = stack.enter_context(Mosquitto(tmp_path / "ours", make_pki(tmp_path / "ours/pki")))
        pki = cast(Pki, SimpleNamespace(directory=tmp_path / "home/pki"))  # the same names of files
        theirs = stack.enter_context(Mosquitto(tmp_path / "theirs", pki))
        theirs.allow(f"user {CLIENT}\ntopic readwrite hemsd/#\n")
        yield plain, theirs


async def asked(home: House, **commands: tuple[str, ...]) -> dict[str, bytes]:
    """What commands of the command line say of this house, by the names given."""

    async def say(*command: str) -> bytes:
        config = () if "--port" in command else ("--config", str(home.directory / "hemsd.toml"))
        ran = await hemsd(*command, *config, env=dict(os.environ), directory=home.directory, program=HURRIED)
        return (ran.out + ran.err).encode()

    said = await asyncio.gather(*(say(*command) for command in commands.values()))
    return dict(zip(commands, said, strict=True))


async def lived(tmp_path: Path, of_meter: Network, ours: Mosquitto, theirs: Mosquitto) -> Evidence:
    """A house that had everything happen to it, stopped."""
    directory = tmp_path / "home"
    found: dict[str, bytes] = {}
    metrics = free_port()
    async with (
        street(of_meter) as outside,
        house(directory, outside.port, configuration(directory, ours, theirs, metrics)) as home,
        observer(ours.ports.open) as ear,
        observer(theirs.ports.open) as far_ear,
    ):
        furnish(home, of_meter)
        found |= await before(home, outside.port, of_meter)
        async with tapped(directory / "run", directory / "hub", SOCKETS) as taps:
            given = listening(directory / "hub")
            await home.start("hub", parts.HURRIED["hub"], given=given)
            for each in given.values():
                each.close()
            await home.start("routeb", parts.HURRIED["routeb"])
            await home.start("gateway", HURRIED_GATEWAY)
            await home.hears(MeterReading)
            await home.hears(BackfillProgress, lambda progress: progress.day)
            await ear.until(lambda seen: any(b'"signature":"' in bytes(each.payload) for each in seen))
            await far_ear.until(lambda seen: any(str(each.topic).endswith("info") for each in seen))
            found["metrics"] = await asyncio.to_thread(read, f"http://127.0.0.1:{metrics}/metrics")
            found |= await asked(
                home,
                status=("status", "--json"),
                conformance=("conformance", "--json"),
                history=("history", "--json"),
                read=("read", "all", "--json"),
                check=("config", "check"),
            )
            found["/proc/net/unix"] = Path("/proc/net/unix").read_bytes()
            held = {part: memory(home.processes[part].pid) for part in PARTS}
            for part in PARTS:
                for name in ("cmdline", "environ"):
                    found[f"{name} of {part}"] = Path(f"/proc/{home.processes[part].pid}/{name}").read_bytes()
            for part in reversed(PARTS):
                assert await home.stop(part) == 0
        for each in (ear, far_ear):
            await each.until(lambda seen: bytes(seen[-1].payload) == b"offline")
        found |= {f"socket {name}": bytes(tap.passed) for name, tap in taps.items()}
        for name, seen in (("MQTT", ear.seen), ("MQTT to the provider", far_ear.seen)):
            found[name] = "\n".join(f"{m.topic} {m.payload!r} {m.properties}" for m in seen).encode()
        sealed = ("--port", outside.port, "--credentials", str(directory / "credentials.sealed"))
        found |= await asked(home, recording=("record", "session.txt", *sealed))
        return Evidence(found | files(directory, *HOLDERS), known(directory, of_meter), held)


async def before(home: House, port: str, of_meter: Network) -> dict[str, bytes]:
    """What is said, and written of a session with the meter, where ID and password are not right."""
    wrong, broken = home.directory / "wrong.toml", home.directory / "broken.toml"
    write_private(wrong, as_file(Credentials(of_meter.route_b_id, of_meter.password[::-1])))
    write_private(broken, f"id = {of_meter.route_b_id}\n{of_meter.password} = 1\n".encode())
    place = ("--port", port, "--credentials")
    told = await asked(
        home, refused=("record", "refused.txt", *place, str(wrong)), broken=("read", *place, str(broken))
    )
    for path in (wrong, broken):
        path.unlink()
    return told


def read(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        content: bytes = answer.read()
        return content


def listening(directory: Path) -> dict[str, socket.socket]:
    """Sockets as systemd hands them over."""
    made = {name: socket.socket(socket.AF_UNIX) for name in SOCKETS}
    for name in SOCKETS:
        made[name].bind(str(directory / f"{name}.sock"))
        made[name].listen()
    return made


def known(directory: Path, of_meter: Network) -> dict[str, bytes]:
    """The secrets of the house by their names."""
    own = Credentials(of_meter.route_b_id, of_meter.password)
    found = {
        "Route B ID": own.id.encode(),
        "pairing ID": own.pairing_id.encode(),
        "Route B password": own.password.encode(),
        "wrong Route B password": own.password[::-1].encode(),
        "MQTT password": PASSWORD.encode(),
        "key of the sealed file": (directory / "credentials.key").read_bytes(),
    }
    for path in directory.rglob("*"):
        if path.name in HOLDERS and path.suffix in (".pem", ".key") and path.name != "credentials.key":
            key: Any = load_pem_private_key(path.read_bytes(), None)
            raw = (
                key.private_bytes_raw()
                if hasattr(key, "private_bytes_raw")
                else key.private_numbers().private_value.to_bytes(32, "big")
            )
            found[path.name] = raw
    return found


WITNESSES: dict[str, str] = {
    "hub.log": SITE,
    "routeb.log": "joined",
    "gateway.log": "connected to the broker",
    "socket operator": "MeterReading",
    "socket routeb": "MeterReading",
    "socket gateway": SITE,
    "MQTT": SITE,
    "MQTT to the provider": SITE,
    "metrics": SITE,
    "status": "online",
    "conformance": "R55",
    "history": "energy_import_kwh",
    "read": "power",
    "check": "hemsd.toml",
    "pki.log": "ca.crt",
    "session.txt": "SKJOIN",
    "refused.txt": "EVENT 24",
    "recording": "masked",
    "refused": "password",
    "broken": "broken.toml",
    "state/history.db": "SQLite format",
    "state/history.db as text": "INSERT INTO",
    "state/samples.db as text": "INSERT INTO",
    "cmdline of hub": "--part",
    "cmdline of routeb": "--part",
    "cmdline of gateway": "--part",
    "environ of routeb": "PATH=",
    "/proc/net/unix": "hemsd-meter-",
}
"""What is surely in a place that was looked at while there was something to see."""


async def test_after_everything_the_secrets_are_found_nowhere(
    tmp_path: Path, brokers: tuple[Mosquitto, Mosquitto]
) -> None:
    """In no log, file, database, message, recording, answer, argument; in the memory of those who use them only."""
    found = await lived(tmp_path, network(), *brokers)
    unseen = [p for p, word in WITNESSES.items() if not given_away({p: found.places[p]}, {"it": word.encode()})]
    assert unseen == []
    assert given_away(found.places, found.secrets) == []
    for place, content in found.places.items():  # the control: a secret that is there is found there
        for secret in found.secrets.values():
            for written in (secret, secret.hex().encode(), base64.b64encode(secret)):
                assert given_away({place: content[-4096:] + written}, {"it": secret}), place
    users = {
        name: {part for part, content in found.processes.items() if secret in content}
        for name, secret in found.secrets.items()
    }
    assert users["Route B password"] == users["Route B ID"] == {"routeb"}
    assert users["MQTT password"] == {"gateway"}
    assert {"hub"} & set().union(*users.values()) == set()
