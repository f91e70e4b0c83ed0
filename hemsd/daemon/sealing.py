"""Files that only this machine can open: sealed by systemd-creds, or with AES-GCM and a key in a file beside it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from drivers.files import replace

SYSTEMD_NAME = "hemsd-routeb"  # which systemd-creds seals into the file as well
SYSTEMD_FILE = Path("/etc/credstore.encrypted") / SYSTEMD_NAME
SEALED_FILE = Path("/etc/hemsd/credentials.sealed")
KEY_FILE = SEALED_FILE.with_suffix(".key")
MAGIC = b"hemsd sealed 1\n"  # at the beginning of a file, and authenticated with it
KEY_SIZE = 32  # bytes: AES-256
NONCE_SIZE = 12  # bytes (NIST SP 800-38D, 8.2.2: random ones, of a key that seals a handful of times)
SYSTEMD_S = 20.0  # a TPM takes its time


class SealError(Exception):
    """Something cannot be sealed or opened; the text says why, and holds nothing of what was sealed."""


def new_key() -> bytes:
    """A random key for seal()."""
    return os.urandom(KEY_SIZE)


def seal(content: bytes, key: bytes) -> bytes:
    """The content of a file that unseal() opens with the same key, and that cannot be changed unnoticed."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # here: seldom needed, and slow to import

    nonce = os.urandom(NONCE_SIZE)
    return MAGIC + nonce + AESGCM(key).encrypt(nonce, content, MAGIC)


def unseal(sealed: bytes, key: bytes) -> bytes:
    """What seal() was given. Raises SealError."""
    if not sealed.startswith(MAGIC) or len(sealed) <= len(MAGIC) + NONCE_SIZE:
        raise SealError("this is not a sealed file of this version of hemsd")
    if len(key) != KEY_SIZE:
        raise SealError(f"its key must have {KEY_SIZE} bytes, this one has {len(key)}")
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce, rest = sealed[len(MAGIC) :][:NONCE_SIZE], sealed[len(MAGIC) + NONCE_SIZE :]
    try:
        return AESGCM(key).decrypt(nonce, rest, MAGIC)
    except InvalidTag:
        raise SealError("it was changed, or sealed with another key than the one beside it") from None


def seal_by_systemd(content: bytes, path: Path) -> None:
    """Write a file that systemd opens for the service (LoadCredentialEncrypted=). Raises SealError, OSError."""
    replace(path, _systemd_creds("encrypt", content, "-"))


def unseal_by_systemd(path: Path) -> bytes:
    """What was sealed by systemd-creds, for root without the service. Raises SealError."""
    return _systemd_creds("decrypt", b"", str(path))


def _systemd_creds(action: str, content: bytes, path: str) -> bytes:
    command = ["systemd-creds", action, f"--name={SYSTEMD_NAME}", path, "-"]
    try:
        done = subprocess.run(command, input=content, capture_output=True, timeout=SYSTEMD_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SealError(f"systemd-creds cannot {action} it: {error}") from None
    if done.returncode != 0:
        why = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
        raise SealError(f"systemd-creds cannot {action} it: {why[-1]}")
    return done.stdout
