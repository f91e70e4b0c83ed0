"""aiomqtt's client with what it leaves out: publishing without waiting, the reason codes of acknowledgements.

Imported where it is used, because it loads aiomqtt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiomqtt
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from hemsd.gateway.topics import Publication

Answer = Callable[[int], None]
"""Called once, with the MQTT 5 reason code: 0x80 and above are refusals. MQTT 3.1.1 knows none."""

LOOKS_PER_KEEPALIVE = 6  # whether a ping is due, or an answer to one overdue
RECEIVE_MAXIMUM = 65_535  # where the broker does not say (MQTT 5, 3.2.2.3.3)


class Client(aiomqtt.Client):
    """One connection. Its own publish() is not to be used beside post().

    `receive_maximum`: publications with QoS 1 that the broker takes before it has acknowledged any.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.receive_maximum = RECEIVE_MAXIMUM
        self.dropped = 0  # messages that came faster than they were taken
        self._unanswered: dict[int, Answer] = {}

    def post(self, publication: Publication, answered: Answer) -> None:
        """Publish; `answered` is called once that is written (QoS 0) or acknowledged (QoS 1), perhaps at once.

        Raises MqttError where the connection is gone.
        """
        properties = None
        if publication.correlation is not None:
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.CorrelationData = publication.correlation
        told = publication.topic, publication.payload, publication.qos, publication.retain
        info = self._client.publish(*told, properties)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            why = self._disconnected.exception() if self._disconnected.done() else None
            raise aiomqtt.MqttCodeError(info.rc, "could not publish") from why
        if info.is_published():
            answered(0)
        else:
            self._unanswered[info.mid] = answered

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        self.receive_maximum = getattr(properties, "ReceiveMaximum", RECEIVE_MAXIMUM)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(self, *arguments: Any) -> None:
        if not self._connected.cancelled():  # it was, where CONNECT was not answered in time; aiomqtt trips over that
            super()._on_disconnect(*arguments)

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        if self._queue.full():
            self.dropped += 1
        else:
            super()._on_message(client, userdata, message)

    async def _misc_loop(self) -> None:
        """Send pings. aiomqtt looks every second; a broker waits half as long again as the keepalive (3.1.2.10)."""
        while self._client.loop_misc() == MQTTErrorCode.MQTT_ERR_SUCCESS:  # noqa: ASYNC110 (paho has no event for it)
            await asyncio.sleep(max(1.0, self._client.keepalive / LOOKS_PER_KEEPALIVE))

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
        if (answered := self._unanswered.pop(mid, None)) is not None:
            answered(reason_code.value)
