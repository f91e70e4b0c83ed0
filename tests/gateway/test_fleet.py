"""The pieces in config/fleet: what leaves a home ends in a real PostgreSQL once, right, and still signed."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pyhocon import ConfigFactory
from support.gateway import INTERVAL, SITE, House, half_hour
from support.mosquitto import Mosquitto, observer
from support.postgres import Postgres, postgres

from hemsd.cli import main
from hemsd.gateway.config import ProviderConfig
from hemsd.gateway.exposure import provider_topics
from hemsd.gateway.payloads import Interval
from hemsd.gateway.provider import HEALTH_EVERY_S, SPREAD_S, ProviderLink, turn_s
from hemsd.gateway.signature import Signer, signer
from hemsd.gateway.standing import Home
from hemsd.gateway.topics import INTERVAL as INTERVAL_LASTS
from hemsd.gateway.topics import Topics
from hemsd.hub.messages import Domain, Record

PROJECT = Path(__file__).parents[2]
FLEET = PROJECT / "config" / "fleet"
DOCUMENT = (PROJECT / "docs" / "fleet.md").read_text("utf-8")
TELEGRAF: dict[str, Any] = tomllib.loads((FLEET / "telegraf.conf").read_text("utf-8"))
[CONSUMER] = TELEGRAF["inputs"]["mqtt_consumer"]
[PARSER] = CONSUMER["json_v2"]
HOMES = 1_000_000


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    """With the schema, once for all tests, which have sites of their own."""
    with postgres() as server:
        server.run((FLEET / "schema.sql").read_text("utf-8"))
        yield server


def copied(messages: Iterable[tuple[str, bytes]]) -> str:
    """The COPY that Telegraf makes of messages by telegraf.conf: tags of the topic, fields of the JSON, its time."""
    [parsing] = CONSUMER["topic_parsing"]
    places = [(at, name) for at, name in enumerate(parsing["tags"].split("/")) if name != "_"]
    fields = [field["path"] for field in PARSER["field"]]
    columns = ["time", *(name for _, name in places), *fields]
    lines = []
    for topic, payload in messages:
        record, levels = json.loads(payload), topic.split("/")
        values = [
            record[PARSER["timestamp_path"]],
            *(levels[at] for at, _ in places),
            *(record[name] for name in fields),
        ]
        lines.append("\t".join(r"\N" if value is None else str(value) for value in values))
    names = ", ".join(f'"{name}"' for name in columns)
    return f"COPY {PARSER['measurement_name']} ({names}) FROM STDIN;\n" + "\n".join([*lines, "\\.\n"])


def message(site: str, number: int, seq: int, key: Signer | None = None, **told: Any) -> tuple[str, bytes]:
    publication = Topics("hemsd", site, key).half_hour(
        Record(seq=seq, content=half_hour(number, **told)), replay=False
    )
    assert publication is not None
    return publication.topic, publication.payload


@pytest.mark.needs("mosquitto", "psql")
async def test_from_a_home_to_the_database(
    broker: Mosquitto, tmp_path: Path, database: Postgres, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over a real broker, twice, in any order: each half-hour once, as it is known best, and still signed."""
    house, key = House(), signer(tmp_path / "gateway" / "key.pem")
    house.history.keep(*(half_hour(number, energy_import_kwh=number + 0.1) for number in range(5)))
    house.history.keep(half_hour(2, energy_import_kwh=2.5, source="backfill"))
    config = ProviderConfig(url=f"mqtt://127.0.0.1:{broker.ports.open}", replay_per_minute=60_000)
    turn = half_hour(0).end + timedelta(seconds=turn_s(SITE))
    link = ProviderLink(
        house.hub.seat(Domain.GATEWAY),
        config,
        Home(site=SITE, signer=key),
        tmp_path,
        wall=lambda: turn,
        chance=lambda: 0.0,
    )
    async with observer(broker.ports.open) as view:
        tasks = [asyncio.create_task(each) for each in (link.run(), house.history.run())]
        await view.payloads(INTERVAL, 6)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    told = [(str(each.topic), bytes(each.payload)) for each in view.seen if str(each.topic) == INTERVAL]  # type: ignore[arg-type]
    for batch in (told, told[::-1]):
        database.run(copied(batch), user="ingest")
    kept = database.run(f"SELECT energy_import_kwh, source FROM half_hour WHERE site = '{SITE}' ORDER BY start")
    assert [float(kwh) for kwh, _ in kept] == [0.1, 1.1, 2.5, 3.1, 4.1]
    assert [source for _, source in kept] == ["notified", "notified", "backfill", "notified", "notified"]
    assert database.run("SELECT count(*) FROM half_hour_landing") == [["0"]]
    rows = database.run(f"SELECT record FROM half_hour_record WHERE site = '{SITE}'")
    (tmp_path / "records").write_text("\n".join("|".join(row) for row in rows))
    assert main(["verify", str(tmp_path / "records"), "--key", key.public]) == 0
    assert capsys.readouterr().out == "5 good\n"
    database.run(f"UPDATE half_hour SET energy_import_kwh = 2.4 WHERE site = '{SITE}' AND source = 'backfill'")
    rows = database.run(f"SELECT record FROM half_hour_record WHERE site = '{SITE}'")
    (tmp_path / "records").write_text("\n".join("|".join(row) for row in rows))
    assert main(["verify", str(tmp_path / "records"), "--key", key.public]) == 1


@pytest.mark.needs("psql")
def test_energy_of_half_hours(database: Postgres) -> None:
    """Through a wrap of the register; nothing after a gap, where a reading is missing, and where another meter is."""
    registers = {0: 999.8, 1: 0.1, 2: 0.4, 4: 1.0, 5: None, 6: 1.2, 7: 1.2, 8: 500.0, 9: 400.0}
    scale: dict[str, Any] = {"count_kwh": Decimal("0.1"), "digits": 4}
    told = (
        message("energy", number, number + 1, energy_import_kwh=kwh, **scale) for number, kwh in registers.items()
    )
    database.run(copied(told), user="ingest")
    rows = database.run("SELECT imported_kwh FROM half_hour_energy WHERE site = 'energy' ORDER BY start")
    assert [row[0] for row in rows] == ["", "0.3", "0.3", "", "", "", "0", "", ""]


@pytest.mark.needs("psql")
def test_who_takes_records_in_can_do_nothing_else(database: Postgres) -> None:
    """A Telegraf in the wrong hands reads no home and changes none; and a home speaks only for itself."""
    for statement in ("SELECT * FROM half_hour", "SELECT * FROM half_hour_landing", "DELETE FROM half_hour"):
        with pytest.raises(subprocess.CalledProcessError) as refused:
            database.run(statement, user="ingest")
        assert "permission denied" in refused.value.stderr
    topic, payload = message("liar", 1, 1)
    forged = json.dumps(json.loads(payload) | {"site": "victim"}).encode()
    database.run(copied([(topic, forged)]), user="ingest")
    assert database.run("SELECT site FROM half_hour WHERE site IN ('liar', 'victim')") == [["liar"]]


def test_telegraf_has_a_column_for_everything_and_no_other() -> None:
    """What has none is dropped there without a word: host names, topics; and optional is what may be null."""
    schema = (FLEET / "schema.sql").read_text("utf-8")
    [table] = re.findall(r"CREATE TABLE half_hour_landing \((.*?)\n\);", schema, re.DOTALL)
    columns = {name: "NOT NULL" in rest for name, rest in re.findall(r'^ +"?(\w+)"? (.*)$', table, re.MULTILINE)}
    fields = {field["path"]: not field.get("optional", False) for field in PARSER["field"]}
    assert fields | dict.fromkeys(("time", "site", "meter"), True) == columns
    assert TELEGRAF["agent"]["omit_hostname"] is True
    assert (CONSUMER["topic_tag"], CONSUMER["qos"], CONSUMER["persistent_session"]) == ("", 1, True)
    nullable = {field.name for field in msgspec.structs.fields(Interval) if type(None) in _kinds(field.type)}
    assert {name for name, needed in fields.items() if not needed} == nullable


def _kinds(kind: Any) -> tuple[Any, ...]:
    return getattr(kind, "__args__", ())


def test_both_ways_take_what_a_home_sends() -> None:
    """Topic of the subscription, of the topic's parsing, of the rule for Kafka and its key, and the access rules."""
    topic = "hemsd/v1/+/meter/+/interval"
    [parsing] = CONSUMER["topic_parsing"]
    assert Topics("hemsd", "home-1").path(("meter/+/interval", "m1")) == "hemsd/v1/home-1/meter/m1/interval"
    assert CONSUMER["topics"] == [f"$share/ingest/{topic}"]
    assert parsing == {"topic": topic, "tags": "_/_/site/_/meter/_"}
    config = ConfigFactory.parse_file(str(FLEET / "emqx-kafka.hocon"))
    sql = config["rule_engine.rules.half_hours.sql"]
    assert f'FROM "{topic}"' in sql
    levels = [topic.split("/")[int(place) - 1 :][:1] for place in re.findall(r"nth\((\d), tokens\(topic", sql)]
    assert levels == [["+"], ["+"]]
    assert config["actions.kafka_producer.half_hours.parameters.message.key"] == "${.site}/${.meter}"
    assert config["actions.kafka_producer.half_hours.connector"] in config["connectors.kafka_producer"]
    said, heard = re.findall(
        r", (?:publish|subscribe), \[(.*)\]\}\.$", (FLEET / "acl.conf").read_text(), re.MULTILINE
    )
    mine = {f"hemsd/v1/${{client_attrs.site}}/{each}" for each in provider_topics(health=True)}
    assert set(re.findall('"(.*?)"', said)) == mine
    assert set(re.findall('"(.*?)"', heard)) == {each.replace("${client_attrs.site}", "+") for each in mine}


@pytest.mark.parametrize(
    "path", [FLEET / "emqx-kafka.hocon", PROJECT / "config/emqx/base.hocon"], ids=lambda path: path.name
)
def test_what_is_for_emqx_is_hocon(path: Path) -> None:
    """A parser of that language takes it; EMQX itself is not here."""
    assert ConfigFactory.parse_file(str(path))


def test_the_numbers_of_the_document() -> None:
    """They follow from the constants, for a million homes."""
    config = ProviderConfig(url="mqtts://b")
    day = timedelta(days=1) // INTERVAL_LASTS
    per_s = config.replay_per_minute / 60
    numbers = {
        "half-hours a day": HOMES * day,
        "half-hours a second, on average": HOMES * day / 86_400,
        "half-hours a second in the busy 5 minutes of each half-hour": HOMES / SPREAD_S,
        "new connections a second after a power cut, or when the broker is back": HOMES / SPREAD_S,
        "half-hours a second after 3 hours without broker, for 5 minutes": HOMES * 6 / SPREAD_S,
        "half-hours a second while everybody replays for long": HOMES * per_s,
        "pings a second": HOMES / config.keepalive_s,
        "messages a second with `health = true`, besides": 2 * HOMES / HEALTH_EVERY_S,
        "messages a second, were there a live value each minute": HOMES / 60,
    }
    rows = dict(re.findall(r"^\| (.+?) \| ([\d ]+) \|$", DOCUMENT, re.MULTILINE))
    told = {what: float(number.replace(" ", "")) for what, number in rows.items()}
    assert told == {what: float(f"{number:.1e}") for what, number in numbers.items()}
    assert f"a day takes {day / per_s / 60:.0f} minutes, 99 days {99 * day / per_s / 3600:.0f} hours" in DOCUMENT
