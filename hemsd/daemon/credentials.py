"""Finds and reads the Route B credentials, plain or sealed; tells what is wrong without ever repeating a secret."""

from __future__ import annotations

import os
import pwd
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

from drivers.module import Credentials, InvalidCredentials
from hemsd.daemon.config import user_directory
from hemsd.daemon.schema import suggestion
from hemsd.daemon.sealing import KEY_FILE, SEALED_FILE, SYSTEMD_FILE, SealError, unseal, unseal_by_systemd

SYSTEM_FILE = Path("/etc/hemsd/credentials.toml")
HANDED = {  # by systemd, under the names that the units give them: where each is from; the first that is there counts
    "routeb": SYSTEM_FILE,
    SYSTEMD_FILE.name: SYSTEMD_FILE,  # opened by systemd
    SEALED_FILE.name: SEALED_FILE,  # with its key beside it
}
AGAIN = "seal it again: sudo hemsd install --credentials FILE"
MAX_SIZE = 64 * 1024  # bytes; such a file has about 100
KEYS = ("id", "password")


class CredentialsError(Exception):
    """The credentials file cannot be used until a person changes something; the text says what."""


def find_credentials(configured: str | None = None, environ: Mapping[str, str] = os.environ) -> Path:
    """The file as configured, else systemd's copy, else a plain user's own, else the system's, plain or sealed.

    Naming the system's file is the same as naming none: under systemd only its copy can be read.
    """
    if configured and Path(configured) != SYSTEM_FILE:
        return Path(configured)
    if handed := environ.get("CREDENTIALS_DIRECTORY"):
        copies = [path for name in HANDED if (path := Path(handed) / name).exists()]
        if copies:
            return next((path for path in copies if path.read_bytes().strip()), copies[0])
    if os.geteuid() == 0:
        return next((path for path in HANDED.values() if path.exists()), SYSTEM_FILE)
    own = user_directory(environ) / SYSTEM_FILE.name
    return own if own.exists() else SYSTEM_FILE


def load_credentials(path: Path, environ: Mapping[str, str] = os.environ) -> Credentials:
    """Read `id` and `password` from a TOML file that only its owner may read. Raises CredentialsError.

    The owner must be this user or root. What systemd hands over is protected by systemd and taken as it is. A sealed
    file is opened: with the key beside it, or by systemd-creds, which only root can do.
    """
    handed = environ.get("CREDENTIALS_DIRECTORY")
    from_systemd = handed is not None and path.parent == Path(handed)
    # systemd handed over a copy: what a person can mend is the original
    original = HANDED.get(path.name, SYSTEM_FILE) if from_systemd else path
    try:
        if path.name == SEALED_FILE.name:
            content = unseal(_read(path, private=not from_systemd), _key(path, private=not from_systemd))
        elif path == SYSTEMD_FILE:
            content = unseal_by_systemd(path)
        else:
            content = _read(path, private=not from_systemd)
    except SealError as error:
        raise CredentialsError(f"{original}: {error}; {AGAIN}") from None
    return _parse(content, original)


def as_file(credentials: Credentials) -> bytes:
    """The content of a file that load_credentials() reads."""
    return f'id = "{credentials.id}"\npassword = "{credentials.password}"\n'.encode()


def _key(sealed: Path, *, private: bool) -> bytes:
    path = sealed.with_name(KEY_FILE.name)
    if not path.exists():
        raise SealError(f"its key, {path.name} beside it, is not there")
    return _read(path, private=private)


def _read(path: Path, *, private: bool) -> bytes:
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            about = os.fstat(file.fileno())  # of what was really opened, whatever the path leads to by now
            if not stat.S_ISREG(about.st_mode):
                raise CredentialsError(f"{path}: this is not a file")
            if private:
                _check_private(path, about)
            content = file.read(MAX_SIZE + 1)
    except FileNotFoundError:
        sealed = "" if path != SYSTEM_FILE or os.geteuid() == 0 else "; only root can see whether they are sealed"
        raise CredentialsError(f"{path}: no such file; it holds id and password (mode 0600){sealed}") from None
    except OSError as error:
        raise CredentialsError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    if len(content) > MAX_SIZE:
        raise CredentialsError(f"{path}: this is too long for a credentials file")
    return content


def _open_at_once(path: str, flags: int) -> int:
    """Without waiting for somebody to write into a pipe."""
    return os.open(path, flags | os.O_NONBLOCK)


def _check_private(path: Path, about: os.stat_result) -> None:
    if about.st_mode & 0o077:
        mode = stat.S_IMODE(about.st_mode)
        raise CredentialsError(f"{path}: others may read it (mode {mode:04o}); run: chmod 600 {path}")
    if about.st_uid not in (0, os.geteuid()):
        try:
            owner = pwd.getpwuid(about.st_uid).pw_name
        except KeyError:
            owner = f"user {about.st_uid}"
        raise CredentialsError(f"{path}: it belongs to {owner}; it must be yours or root's")


def _parse(content: bytes, path: Path) -> Credentials:
    try:
        data = tomllib.loads(content.decode())
    except UnicodeDecodeError:
        raise CredentialsError(f"{path}: this is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:  # its own words may quote the line
        line = re.search(r"at line (\d+)", str(error))
        place = f"{path}:{line[1]}" if line else str(path)
        raise CredentialsError(f'{place}: this is not TOML; it holds id = "..." and password = "..."') from None
    if not data:
        raise CredentialsError(f"{path}: no credentials yet; write id and password into it (mode 0600)")
    for key in data:
        if key not in KEYS:
            raise CredentialsError(f"{path}: {_unknown(key)}")
    for key in KEYS:
        if key not in data:
            raise CredentialsError(f'{path}: "{key}" is missing')
        if not isinstance(data[key], str):
            raise CredentialsError(f'{path}: "{key}" must be text in quotes')
    try:
        return Credentials(data["id"], data["password"])
    except InvalidCredentials as error:
        raise CredentialsError(f"{path}: {error}") from None


def _unknown(key: str) -> str:
    if not re.fullmatch("ID|[A-Za-z][a-z_-]{0,23}", key):  # a password is of digits and capital letters
        return "one key is neither id nor password, and may be a secret itself: keys stand left of the ="
    near = suggestion(key, KEYS)
    return f'there is no key "{key}"; ' + (f'did you mean "{near}"?' if near else "keys are id and password")
