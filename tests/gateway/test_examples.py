"""The shipped examples for brokers: what `hemsd pki` would write, and a mosquitto that starts with it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.pki import config_for, free_port, hemsd_pki, included

from hemsd.gateway.connection import connect
from hemsd.gateway.mosquitto import ACL_HEAD, acl_section, configuration
from hemsd.gateway.topics import Topics

EXAMPLES = Path(__file__).parents[2] / "config"


def test_the_example_is_what_the_command_writes() -> None:
    """One text, in one place."""
    told = (EXAMPLES / "mosquitto/mosquitto.conf").read_text()
    assert told == configuration("/etc/mosquitto/hemsd", 8883)
    sections = acl_section("hemsd-home", "site"), acl_section("panel", "reader")
    told = (EXAMPLES / "mosquitto/acl.conf").read_text()
    others = acl_section("homeassistant", "operator"), acl_section("provider", "provider")
    assert told == "".join((ACL_HEAD, *sections, *others))


@pytest.mark.needs("mosquitto")
async def test_mosquitto_starts_with_the_example(tmp_path: Path) -> None:
    """With the paths filled in, another port, and certificates; and lets hemsd in."""
    place, port = tmp_path / "pki", free_port()
    assert hemsd_pki(place, "--broker", "localhost", "--client", "hemsd-home").code == 0
    for name in ("mosquitto.conf", "acl.conf"):
        text = (EXAMPLES / "mosquitto" / name).read_text().replace("/etc/mosquitto/hemsd", str(place))
        (place / name).write_text(text.replace("listener 8883", f"listener {port}"))
    with included(place / "mosquitto.conf", tmp_path / "etc", port):
        will = Topics("hemsd", "home").availability(False)
        async with connect(config_for(place, "hemsd-home", port), "5", "hemsd-home", will):
            pass


def test_the_example_for_emqx_names_the_same_topics() -> None:
    """Nothing here runs EMQX; at least what a home, and a provider, may do is the same as with mosquitto."""
    text = (EXAMPLES / "emqx/acl.conf").read_text()
    for user, section in (
        (r'\{re, "\^hemsd-.*?"\}', acl_section("hemsd-home", "site")),
        ('"provider"', acl_section("provider", "provider")),
    ):
        rule = rf"^\{{allow, \{{username, {user}\}}, (\w+), \[(.*)\]\}}\.$"
        rules = dict(re.findall(rule, text, re.MULTILINE))
        for word, action in (("write", "publish"), ("read", "subscribe")):
            topics = set(re.findall(rf"^topic {word} (\S+)$", section, re.MULTILINE))
            named = rules[action].replace("${client_attrs.site}", "home").replace("${username}", "hemsd-home")
            assert set(re.findall(r'"(.*?)"', named)) == topics
    assert text.rstrip().endswith("{deny, all}.")
