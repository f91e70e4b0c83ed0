"""The directory that `hemsd pki` keeps: an authority, the broker's certificate and its configuration, clients' ones.

    ca.crt ca.key                       the authority; its key is needed here only, and only to make certificates
    server.crt server.key               the broker's
    mosquitto.conf acl.conf             for mosquitto, which needs these, ca.crt and the broker's two files
    clients/NAME.crt clients/NAME.key   to be taken to each client, with ca.crt; the key need not stay here

What is to be done is made up in memory first and written by save(): a mistake leaves everything as it was.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import Certificate

from drivers.files import replace
from hemsd.gateway import mosquitto
from hemsd.gateway.pki import (
    Authority,
    Key,
    PkiError,
    Role,
    certificate_pem,
    check_client,
    client_of,
    hosts_of,
    key_pem,
    load_certificate,
    load_key,
    new_key,
    normal_host,
    public_key,
    wants_renewal,
)

SECRET, PUBLIC = 0o600, 0o644
SIZE_MAX = 64 * 1024  # bytes of a certificate, a key or acl.conf of some hundred clients

Fate = Literal["kept", "made", "renewed", "extended"]
Sign = Callable[[ec.EllipticCurvePublicKey], Certificate]


@dataclass(slots=True)
class Entry:
    """One certificate; `key` where it was made now and is to be written."""

    path: Path
    certificate: Certificate
    fate: Fate = "kept"
    key: Key | None = None

    @property
    def key_path(self) -> Path:
        """Where its key is, or was."""
        return self.path.with_suffix(".key")


class Folder:
    """See above. Raises PkiError for files that are not what they should be, and OSError.

    `files` tells what save() did with mosquitto.conf and acl.conf.
    """

    def __init__(self, directory: Path, now: datetime) -> None:
        self.directory = directory
        self.files: dict[Path, Fate] = {}
        self._now = now
        self.authority, self._authority = self._open_authority(directory / "ca.crt")
        self._server = self._open(directory / "server.crt", hosts_of)
        found = sorted((directory / "clients").glob("*.crt"))
        self.clients = {path.stem: entry for path in found if (entry := self._open(path, client_of)) is not None}
        self._named: dict[str, Role] = {}  # clients that must have a section in acl.conf

    def broker(self) -> Entry:
        """The broker's certificate. Raises PkiError where there is none yet."""
        if self._server is None:
            raise PkiError(f"there is no broker in {self.directory} yet: name it with --broker")
        return self._server

    def hosts(self) -> tuple[str, ...]:
        """The broker's names and addresses. Raises PkiError where it has none yet."""
        return hosts_of(self.broker().certificate)

    def want_broker(self, hosts: Sequence[str], *, renew: bool) -> None:
        """Have a certificate for a broker of these names and addresses. Raises PkiError where it has others now."""
        wanted = tuple(dict.fromkeys(map(normal_host, hosts)))
        path = self.directory / "server.crt"
        if self._server is None:
            self._server = self._made(path, partial(self._authority.server, wanted, now=self._now))
        elif wanted != self.hosts():
            if not renew:
                raise PkiError(
                    f"{path} is for {', '.join(self.hosts())}: add --renew to have it made for other names"
                )
            self._renew(self._server, partial(self._authority.server, wanted, now=self._now))

    def want_client(self, name: str, role: Role) -> None:
        """Have a certificate for a client. Raises PkiError where it has one of another role."""
        check_client(name, role)
        self._named[name] = role
        path = self.directory / "clients" / f"{name}.crt"
        if name not in self.clients:
            self.clients[name] = self._made(path, partial(self._authority.client, name, role, now=self._now))
        elif (known := client_of(self.clients[name].certificate)[1]) != role:
            raise PkiError(f"{name} is there already, as {known}: delete {path} to make it {role}")

    def renew(self) -> None:
        """Make certificates anew for the same keys where less than a third of their time is left."""
        broker, hosts = self.broker(), self.hosts()
        if wants_renewal(broker.certificate, self._now):
            self._renew(broker, partial(self._authority.server, hosts, now=self._now))
        for entry in self.clients.values():
            if wants_renewal(entry.certificate, self._now):
                self._renew(entry, partial(self._authority.client, *client_of(entry.certificate), now=self._now))

    def save(self, place: str, port: int, base: str = mosquitto.BASE) -> None:
        """Write what is new. Raises OSError, PkiError.

        `place` is where the files will be on the broker's machine, at which it will listen on `port`; topics begin
        with `base`.
        """
        entries = (self.authority, self.broker(), *self.clients.values())
        if not self.directory.exists():
            self.directory.mkdir(parents=True)
            self.directory.chmod(0o755)  # whatever the umask: mosquitto has to get in
        (self.directory / "clients").mkdir(exist_ok=True)
        for entry in entries:
            if entry.key is not None:
                _write(entry.key_path, key_pem(entry.key), SECRET)
            if entry.fate != "kept":
                _write(entry.path, certificate_pem(entry.certificate), PUBLIC)
        configuration = self.directory / "mosquitto.conf"
        self.files[configuration] = "kept"
        if not configuration.exists():
            _write(configuration, mosquitto.configuration(place, port).encode(), PUBLIC)
            self.files[configuration] = "made"
        self._save_acl(self.directory / "acl.conf", base)

    def _save_acl(self, path: Path, base: str) -> None:
        """Add who was named and is not in it. A new one has everybody."""
        if path.exists():
            text, named = _read(path).decode("utf-8", "replace"), self._named
            self.files[path] = "kept"
        else:
            text, named = mosquitto.ACL_HEAD, dict(client_of(each.certificate) for each in self.clients.values())
            self.files[path] = "made"
        there = mosquitto.clients_in(text)
        added = "".join(mosquitto.acl_section(name, role, base) for name, role in named.items() if name not in there)
        if added or self.files[path] == "made":
            _write(path, (text + added).encode(), SECRET)
            self.files[path] = "made" if self.files[path] == "made" else "extended"

    def _open_authority(self, path: Path) -> tuple[Entry, Authority]:
        key_path = path.with_suffix(".key")
        if not path.exists():
            key, is_new = self._key(key_path)
            authority = Authority.create(key, self._now)
            return Entry(path, authority.certificate, "made", key if is_new else None), authority
        try:
            authority = Authority.load(_read(path), _read(key_path))
        except PkiError as error:
            raise PkiError(f"{path}: {error}") from None
        return Entry(path, authority.certificate), authority

    def _open(self, path: Path, look: Callable[[Certificate], object]) -> Entry | None:
        if not path.exists():
            return None
        try:
            certificate = load_certificate(_read(path))
            look(certificate)
        except PkiError as error:
            raise PkiError(f"{path}: {error}") from None
        if not self._authority.made(certificate):
            raise PkiError(f"{path}: another authority than ca.crt beside it has signed this")
        return Entry(path, certificate)

    def _made(self, path: Path, sign: Sign) -> Entry:
        key, is_new = self._key(path.with_suffix(".key"))
        return Entry(path, sign(key.public_key()), "made", key if is_new else None)

    def _key(self, path: Path) -> tuple[Key, bool]:
        """The key that is there already, from a run that was cut short, or a new one."""
        if not path.exists():
            return new_key(), True
        try:
            return load_key(_read(path)), False
        except PkiError as error:
            raise PkiError(f"{path}: {error}") from None

    def _renew(self, entry: Entry, sign: Sign) -> None:
        """The key stays: who pinned it need not know, and a client's may be elsewhere."""
        entry.certificate, entry.fate = sign(public_key(entry.certificate)), "renewed"


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        content = file.read(SIZE_MAX + 1)
    if len(content) > SIZE_MAX:
        raise PkiError(f"{path}: this is too long")
    return content


def _write(path: Path, content: bytes, mode: int) -> None:
    """Write or replace a file; it keeps its owner, mosquitto perhaps, and its mode. Raises OSError."""
    if path.exists():
        before = path.stat()
        mode = stat.S_IMODE(before.st_mode)
        is_ours = (before.st_uid, before.st_gid) == (os.geteuid(), os.getegid())
        replace(path, content, mode=mode, owner=None if is_ours else (before.st_uid, before.st_gid))
    else:
        replace(path, content, mode=mode)
