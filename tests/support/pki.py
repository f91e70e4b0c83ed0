"""What `hemsd pki` made, in use: the command itself, and a mosquitto with exactly these files."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemsd.cli import main
from hemsd.gateway.config import BrokerConfig

WITHIN_S = 10.0


@dataclass
class Told:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def hemsd_pki(directory: Path, *arguments: str) -> Told:
    """Run `hemsd pki DIRECTORY ARGUMENTS`."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main(["pki", str(directory), *arguments])
    return Told(code, out.getvalue(), err.getvalue())


@contextmanager
def included(configuration: Path, directory: Path, port: int) -> Iterator[int]:
    """A mosquitto whose main file includes one with a listener on `port`, as Debian's does with conf.d."""
    conf_d = directory / "conf.d"
    conf_d.mkdir(parents=True)
    (conf_d / "hemsd.conf").symlink_to(configuration)
    user = "user root\n" if os.geteuid() == 0 else ""
    (directory / "mosquitto.conf").write_text(f"{user}log_dest stderr\ninclude_dir {conf_d}\n")
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    process = subprocess.Popen([program, "-c", directory / "mosquitto.conf"], stderr=subprocess.PIPE)
    try:
        _wait_for(process, port)
        yield port
    finally:
        process.kill()
        process.communicate()


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    until = time.monotonic() + WITHIN_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise OSError(f"mosquitto ended: {process.communicate()[1].decode()}")
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.01)
    raise OSError("mosquitto does not listen")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def config_for(directory: Path, client: str | None, port: int, **changes: Any) -> BrokerConfig:
    """How a client whose files are in the directory reaches the broker."""
    keys: dict[str, Any] = {"url": f"mqtts://localhost:{port}", "ca_file": str(directory / "ca.crt")}
    if client is not None:
        own = directory / "clients" / client
        keys |= {"cert_file": f"{own}.crt", "key_file": f"{own}.key"}
    return BrokerConfig(**keys | changes)


def strict(directory: Path, client: str) -> ssl.SSLContext:
    """TLS as strict as Python 3.13 is by default."""
    context = ssl.create_default_context(cafile=directory / "ca.crt")
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_cert_chain(directory / "clients" / f"{client}.crt", directory / "clients" / f"{client}.key")
    return context
