"""How the house stands, as Prometheus metrics: base units, counters where something only grows.

Names are by the conventions of Prometheus (prometheus.io/docs/practices/naming): energy in joules (1 kWh = 3.6 MJ),
times as seconds since 1970, shares from 0 to 1. A value that is not known, or no longer current, is not there: an old
one would look like a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from hemsd import __version__
from hemsd.gateway.meters import Meter
from hemsd.hub.messages import (
    ApplianceState,
    ApplianceStatus,
    Health,
    Message,
    MeterReading,
    MeterStatus,
    Scalar,
    SiteAggregate,
)

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector

METERS_MAX, APPLIANCES_MAX, COUNTERS_MAX = 64, 1024, 256
JOULES_PER_KWH = 3_600_000
AGGREGATE_AFTER_S = 600.0  # a sum that nobody renewed for so long is no longer told

Value = float | int | bool | None
Sample = tuple[tuple[str, ...], Value]
"""Values of the labels, and the value; one that is None is left out."""


class Kind(NamedTuple):
    """One metric of the table below."""

    type: Literal["gauge", "counter", "unknown"]
    text: str
    labels: tuple[str, ...] = ()


METER, APPLIANCE = ("meter",), ("appliance",)
METRICS: Mapping[str, Kind] = {
    "hemsd_build_info": Kind("gauge", "Always 1; the version of hemsd is in a label.", ("version",)),
    "hemsd_meter_online": Kind("gauge", "Whether the meter is connected.", METER),
    "hemsd_meter_fresh": Kind("gauge", "Whether what is told of the meter is how it is now.", METER),
    "hemsd_meter_power_watts": Kind("gauge", "Power taken from the grid; negative while exporting.", METER),
    "hemsd_meter_phase_current_amperes": Kind("gauge", "Current of one phase.", ("meter", "phase")),
    "hemsd_meter_energy_import_joules": Kind("counter", "Register of the energy taken from the grid.", METER),
    "hemsd_meter_energy_export_joules": Kind("counter", "Register of the energy given to the grid.", METER),
    "hemsd_meter_read_timestamp_seconds": Kind("gauge", "When the meter was read last.", METER),
    "hemsd_meter_heard_timestamp_seconds": Kind("gauge", "When the meter was heard last.", METER),
    "hemsd_meter_link_quality": Kind("gauge", "Link quality of the last datagram, 0 to 255.", METER),
    "hemsd_meter_signal_dbm": Kind("gauge", "Signal strength of the last datagram, in dBm.", METER),
    "hemsd_meter_loss_ratio": Kind("gauge", "Share of the last requests without an answer in time.", METER),
    "hemsd_meter_air_time_seconds": Kind("gauge", "Transmission within the last hour, of 360 allowed.", METER),
    "hemsd_meter_session_start_timestamp_seconds": Kind("gauge", "Since when the session lasts.", METER),
    "hemsd_meter_requests": Kind("counter", "Datagrams that asked the meter something.", METER),
    "hemsd_meter_repeated_requests": Kind("counter", "Of them again, without an answer in time.", METER),
    "hemsd_meter_silences": Kind("counter", "Requests that were never answered.", METER),
    "hemsd_meter_sessions": Kind("counter", "Authentications that succeeded.", METER),
    "hemsd_meter_recoveries": Kind("counter", "Losses, by the step that brought it back.", ("meter", "step")),
    "hemsd_meter_dropped_datagrams": Kind("counter", "Not the meter's, or not secured.", ("meter", "reason")),
    "hemsd_site_grid_watts": Kind("gauge", "Power from the grid; negative: to it."),
    "hemsd_site_pv_watts": Kind("gauge", "Power of photovoltaics and other generators."),
    "hemsd_site_battery_watts": Kind("gauge", "Power into batteries; negative: out of them."),
    "hemsd_site_ev_watts": Kind("gauge", "Power into vehicles; negative: out of them."),
    "hemsd_site_known_loads_watts": Kind("gauge", "Power of the other appliances that tell it."),
    "hemsd_site_rest_watts": Kind("gauge", "Power that nothing is known of."),
    "hemsd_domain_ok": Kind("gauge", "Whether a part of hemsd is well.", ("domain",)),
    "hemsd_domain_counter": Kind("unknown", "What a part of hemsd counts, by its own words.", ("domain", "what")),
    "hemsd_history_half_hours": Kind("gauge", "Half-hours that are kept."),
    "hemsd_history_missing_half_hours": Kind("gauge", "Half-hours that are missing."),
    "hemsd_history_size_bytes": Kind("gauge", "Size of the database."),
    "hemsd_gateway_connected": Kind("gauge", "Whether there is a connection to the broker."),
    "hemsd_gateway_backlog_records": Kind("gauge", "Records that the broker has not acknowledged."),
    "hemsd_provider_connected": Kind("gauge", "Whether there is a connection to the provider's broker."),
    "hemsd_provider_backlog_records": Kind("gauge", "Records that the provider's broker has not acknowledged."),
    "hemsd_appliance_online": Kind("gauge", "Whether the appliance is there.", ("appliance", "name", "kind")),
    "hemsd_appliance_on": Kind("gauge", "Whether it works.", APPLIANCE),
    "hemsd_appliance_fault": Kind("gauge", "Whether it tells a fault.", APPLIANCE),
    "hemsd_appliance_power_watts": Kind("gauge", "Power that it takes; negative: gives.", APPLIANCE),
    "hemsd_appliance_energy_import_joules": Kind("counter", "Register of the energy it took.", APPLIANCE),
    "hemsd_appliance_energy_export_joules": Kind("counter", "Register of the energy it gave.", APPLIANCE),
    "hemsd_appliance_charge_ratio": Kind("gauge", "How full the battery is.", APPLIANCE),
    "hemsd_appliance_room_temperature_celsius": Kind("gauge", "Temperature of the room.", APPLIANCE),
    "hemsd_appliance_outdoor_temperature_celsius": Kind("gauge", "Temperature outdoors.", APPLIANCE),
    "hemsd_appliance_target_temperature_celsius": Kind("gauge", "Temperature it is set to.", APPLIANCE),
    "hemsd_appliance_humidity_ratio": Kind("gauge", "Relative humidity of the room.", APPLIANCE),
}
"""All of them, without the ``_total`` that a counter ends with and the label ``site`` that each has."""

WORDS: Mapping[str, tuple[str, float]] = {  # of the common language -> metric of an appliance, and times what
    "on": ("hemsd_appliance_on", 1),
    "fault": ("hemsd_appliance_fault", 1),
    "power_w": ("hemsd_appliance_power_watts", 1),
    "energy_import_kwh": ("hemsd_appliance_energy_import_joules", JOULES_PER_KWH),
    "energy_export_kwh": ("hemsd_appliance_energy_export_joules", JOULES_PER_KWH),
    "soc_percent": ("hemsd_appliance_charge_ratio", 0.01),
    "room_temperature_c": ("hemsd_appliance_room_temperature_celsius", 1),
    "outdoor_temperature_c": ("hemsd_appliance_outdoor_temperature_celsius", 1),
    "target_temperature_c": ("hemsd_appliance_target_temperature_celsius", 1),
    "humidity_percent": ("hemsd_appliance_humidity_ratio", 0.01),
}
GAUGES: Mapping[tuple[str, str], str] = {  # of what parts of hemsd count, what is a stock and has a metric of its own
    ("history", "half_hours"): "hemsd_history_half_hours",
    ("history", "missing"): "hemsd_history_missing_half_hours",
    ("history", "bytes"): "hemsd_history_size_bytes",
    ("gateway", "behind"): "hemsd_gateway_backlog_records",
    ("provider", "behind"): "hemsd_provider_backlog_records",
}
CONNECTED: Mapping[str, str] = {"gateway": "hemsd_gateway_connected", "provider": "hemsd_provider_connected"}
"""Parts of hemsd that are well while they are connected."""


@dataclass(slots=True)
class _Appliance:
    status: ApplianceStatus | None = None
    values: Mapping[str, Scalar] = field(default_factory=dict)


class Metrics:
    """Hears messages and tells samples; `now` is in seconds on one monotonic clock. Bounded by the limits above."""

    def __init__(self, site: str) -> None:
        self._site = site
        self._meters: dict[str, Meter] = {}
        self._appliances: dict[str, _Appliance] = {}
        self._healths: dict[str, Health] = {}
        self._aggregate: tuple[SiteAggregate, float] | None = None

    def hear(self, message: Message, now: float) -> None:
        """Take what has news; others are passed over."""
        match message:
            case MeterReading():
                if (meter := self._meter(message.meter, now)) is not None:
                    meter.read(message, now)
            case MeterStatus(meter=str(name)):
                if (meter := self._meter(name, now)) is not None:
                    meter.stand(message, now)
            case SiteAggregate():
                self._aggregate = message, now
            case Health():
                self._healths[message.name] = message
            case ApplianceStatus(forgotten=True):
                self._appliances.pop(message.appliance, None)
            case ApplianceStatus():
                if (appliance := self._appliance(message.appliance)) is not None:
                    appliance.status = message
            case ApplianceState():
                if (appliance := self._appliance(message.appliance)) is not None:
                    appliance.values = message.values
            case _:
                pass

    def collector(self, clock: Callable[[], float]) -> Collector:
        """For a registry of prometheus_client, which is imported here only. Raises ImportError."""
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, UntypedMetricFamily
        from prometheus_client.registry import Collector

        families = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "unknown": UntypedMetricFamily}
        metrics = self

        class House(Collector):
            def collect(self) -> Iterable[Metric]:
                found: dict[str, list[Sample]] = {}
                for name, sample in metrics.samples(clock()):
                    found.setdefault(name, []).append(sample)
                for name, kind in METRICS.items():
                    if name in found:
                        family = families[kind.type](name, kind.text, labels=("site", *kind.labels))
                        for labels, value in found[name]:
                            family.add_metric((metrics._site, *labels), float(value or 0))
                        yield family

        return House()

    def samples(self, now: float) -> Iterator[tuple[str, Sample]]:
        """Name and sample of everything that is known and current."""
        yield "hemsd_build_info", ((__version__,), 1)
        every = (self._of_meters(now), self._of_site(now), self._of_domains(), self._of_appliances())
        for samples in every:
            yield from ((name, (labels, value)) for name, labels, value in samples if value is not None)

    def _of_meters(self, now: float) -> Iterator[tuple[str, tuple[str, ...], Value]]:
        for name, meter in self._meters.items():
            current, reading, status, meter_label = meter.current(now), meter.reading, meter.status, (name,)
            yield "hemsd_meter_fresh", meter_label, current
            if reading is not None:
                yield "hemsd_meter_read_timestamp_seconds", meter_label, _seconds(reading.measured_at)
            if reading is not None and current:
                yield "hemsd_meter_power_watts", meter_label, reading.power_w
                yield "hemsd_meter_phase_current_amperes", (name, "r"), reading.current_r_a
                yield "hemsd_meter_phase_current_amperes", (name, "t"), reading.current_t_a
                yield "hemsd_meter_energy_import_joules", meter_label, _joules(reading.energy_import_kwh)
                yield "hemsd_meter_energy_export_joules", meter_label, _joules(reading.energy_export_kwh)
            if status is not None:
                yield from _of_status(name, status)

    def _of_site(self, now: float) -> Iterator[tuple[str, tuple[str, ...], Value]]:
        if self._aggregate is not None and now - self._aggregate[1] < AGGREGATE_AFTER_S:
            aggregate = self._aggregate[0]
            yield "hemsd_site_grid_watts", (), aggregate.grid_w
            yield "hemsd_site_pv_watts", (), aggregate.pv_w
            yield "hemsd_site_battery_watts", (), aggregate.battery_w
            yield "hemsd_site_ev_watts", (), aggregate.ev_w
            yield "hemsd_site_known_loads_watts", (), aggregate.known_loads_w
            yield "hemsd_site_rest_watts", (), aggregate.rest_w

    def _of_domains(self) -> Iterator[tuple[str, tuple[str, ...], Value]]:
        for part, health in self._healths.items():
            yield "hemsd_domain_ok", (part,), health.ok
            if part in CONNECTED:
                yield CONNECTED[part], (), health.ok
            for what, count in list(health.counters.items())[:COUNTERS_MAX]:
                if (name := GAUGES.get((part, what))) is not None:
                    yield name, (), count
                else:
                    yield "hemsd_domain_counter", (part, what), count

    def _of_appliances(self) -> Iterator[tuple[str, tuple[str, ...], Value]]:
        for name, appliance in self._appliances.items():
            if (status := appliance.status) is None:
                continue
            yield "hemsd_appliance_online", (name, status.name, status.kind), status.online
            if status.online:
                for word, value in appliance.values.items():
                    if word in WORDS and isinstance(value, int | float):
                        metric, factor = WORDS[word]
                        yield metric, (name,), value * factor

    def _meter(self, name: str, now: float) -> Meter | None:
        if name not in self._meters and len(self._meters) < METERS_MAX:
            self._meters[name] = Meter(now)
        return self._meters.get(name)

    def _appliance(self, name: str) -> _Appliance | None:
        if name not in self._appliances and len(self._appliances) < APPLIANCES_MAX:
            self._appliances[name] = _Appliance()
        return self._appliances.get(name)


def _of_status(name: str, status: MeterStatus) -> Iterator[tuple[str, tuple[str, ...], Value]]:
    meter, radio = (name,), status.radio
    yield "hemsd_meter_online", meter, status.online
    yield "hemsd_meter_heard_timestamp_seconds", meter, _seconds(status.last_heard_at)
    if status.online:
        yield "hemsd_meter_link_quality", meter, status.link.lqi
        yield "hemsd_meter_signal_dbm", meter, status.link.rssi_dbm
    yield "hemsd_meter_loss_ratio", meter, radio.loss
    yield "hemsd_meter_air_time_seconds", meter, radio.air_s
    yield "hemsd_meter_session_start_timestamp_seconds", meter, _seconds(radio.session_since)
    yield "hemsd_meter_requests", meter, radio.requests
    yield "hemsd_meter_repeated_requests", meter, radio.repeated
    yield "hemsd_meter_silences", meter, radio.silences
    yield "hemsd_meter_sessions", meter, radio.sessions
    for step, count in radio.recoveries.items():
        yield "hemsd_meter_recoveries", (name, step), count
    for reason, count in radio.dropped.items():
        yield "hemsd_meter_dropped_datagrams", (name, reason), count


def _seconds(at: datetime | None) -> float | None:
    return None if at is None else at.timestamp()


def _joules(kwh: float | None) -> float | None:
    return None if kwh is None else kwh * JOULES_PER_KWH
