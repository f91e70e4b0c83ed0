"""What a mosquitto broker is to be told for hemsd: its configuration, and who may do what, as text of its files.

Options and the syntax of access rules are those of mosquitto.conf(5), release 2.0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from hemsd.gateway.pki import Role, site_of
from hemsd.gateway.topics import MAJOR

BASE = "hemsd"  # [gateway.broker] base_topic by default

CONFIGURATION = """\
# An MQTT broker for hemsd, for mosquitto 2.0 or newer: TLS only, and each client by its own certificate.
# Made by `hemsd pki`, which never changes it again: it is yours.
# Beside Debian's own configuration:  ln -s {place}/mosquitto.conf /etc/mosquitto/conf.d/hemsd.conf

listener {port}

# Our certificate; those of clients must be signed by the same authority. mosquitto reads all of these as the user
# "mosquitto", and anew at a reload (systemctl reload mosquitto).
cafile {place}/ca.crt
certfile {place}/server.crt
keyfile {place}/server.key
tls_version tlsv1.2

# Nobody without a certificate. Its common name is the user of the access rules. The last two lines hold for all that
# this mosquitto listens to: a port with passwords beside this one wants per_listener_settings (mosquitto.conf(5)).
require_certificate true
use_identity_as_username true
allow_anonymous false
acl_file {place}/acl.conf
"""

ACL_HEAD = """\
# Who may do what; what is not here is denied. `hemsd pki` adds new clients at the end and changes nothing else.
# To lock a client out, take away its section and reload: systemctl reload mosquitto
# Topics are those of docs/mqtt.md; `hemsd pki` writes them with another base_topic where --base-topic names it.
"""

RULES: Mapping[Role, Sequence[str]] = {
    "site": (
        "topic write {base}/{major}/{site}/#",
        "topic read {base}/{major}/{site}/request/+",
        "topic read {base}/{major}/{site}/appliance/+/set",
        "topic write homeassistant/device/{client}/+/config",
        "topic read homeassistant/status",
    ),
    "reader": ("topic read {base}/{major}/#",),
    "operator": (
        "topic read {base}/{major}/#",
        "topic write {base}/{major}/+/request/+",
        "topic write {base}/{major}/+/appliance/+/set",
        "topic readwrite homeassistant/#",
    ),
    "provider": (
        "topic read {base}/{major}/+/site/#",
        "topic read {base}/{major}/+/meter/+/interval",
        "topic read {base}/{major}/+/bridge/info",
        "topic read {base}/{major}/+/response/dr-event",
        "topic write {base}/{major}/+/request/dr-event",
    ),
}
WHAT: Mapping[Role, str] = {
    "site": "the hemsd of site {site}",
    "reader": "sees all that is told",
    "operator": "sees all that is told and gives orders, like Home Assistant",
    "provider": "sees half-hours and the sums of the house, no meter and no appliance as it is now",
}


def configuration(place: str, port: int) -> str:
    """Text of mosquitto.conf for files in this directory of the broker's machine."""
    return CONFIGURATION.format(place=place, port=port)


def acl_section(client: str, role: Role, base: str = BASE) -> str:
    """What one client may do below this base topic, as text to add to acl.conf.

    Raises PkiError for a hemsd not called hemsd-<site>.
    """
    site = site_of(client) if role == "site" else ""
    words = {"base": base, "major": MAJOR, "site": site, "client": client}
    lines = (f"# {WHAT[role]}", f"user {client}", *RULES[role])
    return "\n" + "".join(f"{line}\n".format(**words) for line in lines)


def clients_in(acl: str) -> frozenset[str]:
    """Who has a section in the text of acl.conf, also one that is commented out."""
    return frozenset(re.findall(r"^[#\s]*user\s+(\S+)\s*$", acl, re.MULTILINE))
