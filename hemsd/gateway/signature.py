"""Signatures of half-hours, which hold whatever other hands made of their JSON: Ed25519 (RFC 8032) over a plain text.

The text is the fields of SIGNED, one a line, each in one fixed way of writing it (docs/mqtt.md has an example). All
else may change: the order of the fields, blanks, how numbers and times are written, what other fields there are.

cryptography is imported where it is used: most homes sign nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

FORMAT = "hemsd.meter.interval/1"  # the first line; another kind of record can have no signature of this one
SIGNED = ("site", "meter", "start", "end", "energy_import_kwh", "energy_export_kwh", "wraps_at_kwh", "source", "seq")
"""What is signed, in this order; not `states`, and not `replay`, which depends on when it is sent."""
KWH_MAX = 1e12  # 8 digits of 10 000 kWh
SEQ_MAX = 2**53  # whole numbers up to here are exact in any JSON (RFC 8259, 6); history begins at 10**12
SIZE_LIMIT = 4096  # bytes of a key file

Verdict = Literal["good", "altered", "unsigned", "other key", "no record"]


class SignatureError(Exception):
    """There is no key to sign with, or what was given as one is none; the text says what to do."""


class Signer:
    """The private key of this home; see signer()."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = "ed25519:" + base64.b64encode(key.public_key().public_bytes_raw()).decode()
        self.key_id = key_id(self.public)

    def sign(self, record: Mapping[str, Any]) -> str:
        """The signature of a record's fields, in Base64. Raises SignatureError for what is no half-hour."""
        return base64.b64encode(self._key.sign(text_of(record))).decode()


def signer(path: Path) -> Signer:
    """With the key in this file (PEM), which is made where there is none. Raises SignatureError."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    from hemsd.gateway.files import read, replace

    try:
        key = load_pem_private_key(read(path), None)
    except FileNotFoundError:
        key = Ed25519PrivateKey.generate()
        try:
            replace(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        except OSError as error:
            raise _unusable(path, error) from error
    except (ValueError, TypeError) as error:
        raise _damaged(path) from error
    except OSError as error:
        raise _unusable(path, error) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise _damaged(path)
    return Signer(key)


def key_id(public: str) -> str:
    """By what a public key is called in a record. Raises SignatureError for what is no public key."""
    return hashlib.sha256(_raw(public)).hexdigest()[:16]


def judge(record: Mapping[str, Any], public: str | None) -> Verdict:
    """What a record with its signature is worth, where `public` is the key of its site; None: that is not known.

    Raises SignatureError where `public` is no public key.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    key = None if public is None else Ed25519PublicKey.from_public_bytes(_raw(public))
    try:
        text = text_of(record)
    except SignatureError:
        return "altered" if record.get("signature") else "no record"
    if not record.get("signature"):
        return "unsigned"
    if key is None or public is None or record.get("key_id") != key_id(public):
        return "other key"
    try:
        key.verify(base64.b64decode(str(record["signature"]), validate=True), text)
    except (InvalidSignature, binascii.Error):
        return "altered"
    return "good"


def text_of(record: Mapping[str, Any]) -> bytes:
    """What is signed of a record. Raises SignatureError for what is no half-hour."""
    lines = [FORMAT, *(_line(name, record.get(name)) for name in SIGNED)]
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def _line(name: str, value: object) -> str:
    """One field as text: a word, a number with as many decimals as its kind has, or - where there is none."""
    match name, value:
        case (("energy_import_kwh" | "energy_export_kwh" | "wraps_at_kwh"), None):
            return "-"
        case (("energy_import_kwh" | "energy_export_kwh" | "wraps_at_kwh"), int() | float()) if _fits(value, KWH_MAX):
            return f"{value:.4f}"  # of a meter the smallest step is 0.0001 kWh
        case (("site" | "meter" | "source"), str()) if re.fullmatch("[a-z0-9-]{1,64}", value):
            return value
        case (("start" | "end"), str()):
            return f"{_seconds(value)}"
        case "seq", int() | float() if _fits(value, SEQ_MAX) and value == int(value):
            return f"{int(value)}"
    raise SignatureError(f"{name} is not that of a half-hour")


def _fits(value: float, most: float) -> bool:
    return not isinstance(value, bool) and -most <= value <= most


def _seconds(text: str) -> int:
    """Since 1970, of a time as in RFC 3339."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise SignatureError(f"{text!r} is no time") from None
    if at.tzinfo is None or at.microsecond:
        raise SignatureError(f"{text!r} is not a time to the second, with its zone")
    return int(at.timestamp())


def _raw(public: str) -> bytes:
    """The 32 bytes of a public key. Raises SignatureError."""
    kind, _, text = public.partition(":")
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if kind != "ed25519" or len(raw) != 32:
        raise SignatureError("a public key is ed25519: and 44 letters, as signing_key in bridge/info has it")
    return raw


def _unusable(path: Path, error: OSError) -> SignatureError:
    return SignatureError(f"the key of our signatures, {path}: {(error.strerror or str(error)).lower()}")


def _damaged(path: Path) -> SignatureError:
    return SignatureError(
        f"{path} holds no Ed25519 key: put it back, or delete it to have a new one made, "
        "which everybody who checks signatures must be told"
    )
