"""`hemsd pki`: makes, completes and renews the certificates for a home's MQTT broker, and says what there is."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from hemsd.cli.exits import Exit, UsageError
from hemsd.cli.words import columns
from hemsd.gateway.mosquitto import BASE
from hemsd.gateway.pki import PkiError, Role, client_of
from hemsd.gateway.pkifolder import Entry, Folder
from hemsd.gateway.tls import pin_of

NOTICE = timedelta(days=365)  # before the authority ends, and everything that it signed with it


def run(arguments: argparse.Namespace) -> int:
    """Bring the directory up to what was asked, and tell what is in it."""
    try:
        folder = _brought_up(arguments, datetime.now(UTC))
    except PkiError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{error.filename}: {(error.strerror or str(error)).lower()}") from None
    if arguments.json:
        print(json.dumps(_as_json(folder, arguments.port)))
    else:
        print("\n".join(_lines(folder, arguments)))
    return Exit.READ


def _brought_up(arguments: argparse.Namespace, now: datetime) -> Folder:
    folder = Folder(arguments.directory.absolute(), now)
    if arguments.broker:
        folder.want_broker(arguments.broker, renew=arguments.renew)
    roles: tuple[tuple[Role, list[str]], ...] = (
        ("site", arguments.client),
        ("reader", arguments.reader),
        ("operator", arguments.operator),
        ("provider", arguments.provider),
    )
    for role, names in roles:
        for name in names:
            folder.want_client(name, role)
    if arguments.renew:
        folder.renew()
    folder.save(_place(arguments, folder), arguments.port, arguments.base_topic)
    return folder


def _place(arguments: argparse.Namespace, folder: Folder) -> str:
    """Where the broker will find its files."""
    return str(arguments.place or folder.directory)


# --- for programs ---------------------------------------------------------------------------------------------


def _as_json(folder: Folder, port: int) -> dict[str, Any]:
    return {
        "authority": _entry_json(folder.authority),
        "broker": {
            "hosts": folder.hosts(),
            "port": port,
            "pin": pin_of(folder.broker().certificate),
            **_entry_json(folder.broker()),
        },
        "clients": [
            {"name": name, "role": client_of(entry.certificate)[1], **_entry_json(entry)}
            for name, entry in sorted(folder.clients.items())
        ],
        "files": {str(path): fate for path, fate in folder.files.items()},
    }


def _entry_json(entry: Entry) -> dict[str, Any]:
    return {
        "certificate": str(entry.path),
        "key": str(entry.key_path) if entry.key_path.exists() else None,
        "ends": entry.certificate.not_valid_after_utc.isoformat(),
        "fate": entry.fate,
    }


# --- for people -----------------------------------------------------------------------------------------------


def _lines(folder: Folder, arguments: argparse.Namespace) -> Iterator[str]:
    yield from columns(list(_rows(folder)))
    if folder.authority.certificate.not_valid_after_utc - datetime.now(UTC) < NOTICE:
        yield "The authority ends soon: make a new one in another directory."
    yield f"pin of the broker: {pin_of(folder.broker().certificate)}"
    if folder.files.get(folder.directory / "mosquitto.conf") == "made":
        yield from _for_the_broker(folder, _place(arguments, folder))
    for entry in folder.clients.values():
        if entry.fate == "made" and client_of(entry.certificate)[1] == "site":
            yield from _for_hemsd(folder, entry, arguments)


def _rows(folder: Folder) -> Iterator[tuple[str, str, str, str]]:
    yield _row(folder.authority, "authority; keep its key safe", folder)
    yield _row(folder.broker(), f"broker {', '.join(folder.hosts())}", folder)
    for name, entry in sorted(folder.clients.items()):
        yield _row(entry, f"{client_of(entry.certificate)[1]} {name}", folder)
    for path, fate in folder.files.items():
        yield fate, str(path.relative_to(folder.directory)), "", ""


def _row(entry: Entry, what: str, folder: Folder) -> tuple[str, str, str, str]:
    end: datetime = entry.certificate.not_valid_after_utc
    return entry.fate, str(entry.path.relative_to(folder.directory)), f"until {end:%Y-%m-%d}", what


def _for_the_broker(folder: Folder, place: str) -> Iterator[str]:
    yield ""
    if place != str(folder.directory):
        yield f"Take ca.crt, server.crt, server.key, mosquitto.conf and acl.conf to {place} of the broker's machine."
    yield "On the broker's machine, as root:"
    yield f"  chown mosquitto: {place}/server.key {place}/acl.conf"
    yield f"  ln -s {place}/mosquitto.conf /etc/mosquitto/conf.d/hemsd.conf"
    yield "  systemctl restart mosquitto"


def _for_hemsd(folder: Folder, entry: Entry, arguments: argparse.Namespace) -> Iterator[str]:
    host, port = folder.hosts()[0], arguments.port
    yield ""
    yield f"For {entry.path.stem}, in hemsd.toml; copy the files there first (the key is its owner's alone):"
    yield "  [gateway.broker]"
    yield f'  url = "mqtts://{f"[{host}]" if ":" in host else host}:{port}"'
    for name, path in (("ca", folder.authority.path), ("cert", entry.path), ("key", entry.key_path)):
        yield f'  {name}_file = "/etc/hemsd/mqtt-{name}.pem"  # {path}'
    if arguments.base_topic != BASE:
        yield f'  base_topic = "{arguments.base_topic}"'
