"""Where the files of the service go; what belongs to the package and what to the person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import hemsd
from hemsd.daemon.config import SYSTEM_FILE as CONFIGURATION
from hemsd.daemon.credentials import SYSTEM_FILE as CREDENTIALS
from hemsd.daemon.sealing import KEY_FILE, SEALED_FILE, SYSTEMD_FILE

# Ours, and replaced as we like. /etc is the person's: what stands there under the same name wins, drop-ins too.
UNITS = Path("/usr/local/lib/systemd/system")
SYSUSERS = Path("/usr/local/lib/sysusers.d/hemsd.conf")
TMPFILES = Path("/usr/local/lib/tmpfiles.d/hemsd.conf")
RULES = Path("/usr/local/lib/udev/rules.d/60-hemsd.rules")
COMMAND = Path("/usr/local/bin/hemsd")
MADE = (UNITS, UNITS.parent, SYSUSERS.parent, TMPFILES.parent, RULES.parent, RULES.parent.parent)  # where none was

# The person's, written once.
OWN_RULE = Path("/etc/udev/rules.d/61-hemsd.rules")
SECRETS = (CREDENTIALS, SYSTEMD_FILE, SEALED_FILE, KEY_FILE)
BROKER_PASSWORD = Path("/etc/hemsd/mqtt-password")  # systemd hands it to the gateway
STATE = tuple(Path("/var/lib") / name for name in ("hemsd", "hemsd-routeb", "hemsd-gateway"))
APART = {
    STATE[0] / name: directory / name for name, directory in zip(("pans.json", "gateway"), STATE[1:], strict=True)
}
"""What the meter's and the gateway's parts know: where it is in one process, and where in three."""
DROP_INS = Path("/etc/systemd/system")
WIFI_DROP_IN = DROP_INS / "hemsd-routeb.service.d/wifi.conf"
FIREWALL = Path("/run/hemsd-firewall/applied")  # left by `hemsd firewall apply`

TARGET, SINGLE = "hemsd.target", "hemsd-single.service"  # three processes, or one
USERS = ("hemsd", "hemsd-routeb", "hemsd-gateway")
ASKERS = "hemsd"  # the group of those who may ask the daemon
MODULE_GROUP = "hemsd-routeb"  # whom the module's port is given to

UNIT_KINDS = (".service", ".socket", ".target", ".timer")
HEAD = "# hemsd {version}. `hemsd install` replaces this file; what you want otherwise: sudo systemctl edit {name}\n"
PREFIX = "/opt/hemsd"  # where hemsd is, as the units that are shipped have it
WIFI_EXAMPLE = "wlan1"  # likewise the interface of a drop-in


@dataclass(frozen=True, slots=True)
class Kit:
    """What is shipped: the files of the service by where they go, and the configuration to begin with."""

    files: Mapping[Path, bytes]
    configuration: str
    wifi: str  # a drop-in for the meter's unit, where the meter is on a network interface

    @property
    def rules(self) -> str:
        """The udev rules that know a module by what it says of itself."""
        return self.files.get(RULES, b"").decode()


def load_kit(prefix: Path) -> Kit:
    """Read it, with units for a hemsd that is in `prefix`. Raises OSError."""
    share = share_directory()
    files: dict[Path, bytes] = {}
    for path in sorted((share / "systemd").iterdir()):
        if path.suffix in UNIT_KINDS:
            text = path.read_text("utf-8").replace(f"{PREFIX}/bin/", f"{prefix}/bin/")
            files[UNITS / path.name] = (HEAD.format(version=hemsd.__version__, name=path.name) + text).encode()
    for name, place in (("60-hemsd.rules", RULES), ("sysusers.conf", SYSUSERS), ("tmpfiles.conf", TMPFILES)):
        files[place] = (share / "systemd" / name).read_bytes()
    return Kit(
        files,
        configuration=(share / "config" / CONFIGURATION.name).read_text("utf-8"),
        wifi=(share / "systemd/examples/hemsd-routeb-wifi.conf").read_text("utf-8"),
    )


def share_directory() -> Path:
    """Where systemd/ and config/ are: in the installed package, or at the top of a checkout."""
    package = Path(hemsd.__file__).parent
    return package / "share" if (package / "share").exists() else package.parent
