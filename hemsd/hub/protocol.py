"""What both ends of a hub's socket agree on; imports nothing, for commands of a few milliseconds.

A connection is lines of UTF-8, each a JSON object with a `type`, ended by a newline. The server begins with
``{"type":"Greeting","hemsd":VERSION,"protocol":PROTOCOL,"site":ID,"refused":SENTENCE}``, the sentence being empty
where the peer is welcome. Then each side sends messages (hemsd.hub.messages), and the server perhaps a last line
``{"type":"Closed","why":SENTENCE}``.
"""

from __future__ import annotations

PROTOCOL = 1  # grows with every change that an older other side would misunderstand
LINE_MAX = 1 << 20  # bytes of a line
OPERATOR_SOCKET = "operator.sock"  # the file whose openers are the operator; those of other domains are named alike


def mismatch(protocol: object, version: object) -> str:
    """What to tell of a server that greets with another protocol; empty where it is ours."""
    if protocol == PROTOCOL:
        return ""
    return f"it is hemsd {version} and speaks protocol {protocol}, this one speaks {PROTOCOL}: restart the older one"
