"""aiomqtt's client with what it leaves out: publishing without waiting, reason codes, limits of both sides.

Imported where it is used, because it loads aiomqtt.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import aiomqtt
from aiomqtt import ProtocolVersion
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from hemsd.gateway.requests import SIZE_MAX
from hemsd.gateway.topics import Publication

Answer = Callable[[int], None]
"""Called once, with the MQTT 5 reason code: 0x80 and above are refusals. MQTT 3.1.1 knows none."""

LOOKS_PER_KEEPALIVE = 6  # whether a ping is due, or an answer to one overdue
RECEIVE_MAXIMUM = 65_535  # where the broker does not say (MQTT 5, 3.2.2.3.3)
PACKET_MAX = 268_435_460  # bytes; as long as there can be one (MQTT 5, 2.1.4)
OVERHEAD_MAX = 32  # of a PUBLISH beside topic, payload and correlation data
PACKET_TAKEN_MAX = 256 * 1024  # a broker that speaks MQTT 5 keeps longer ones from us
TOO_LARGE = 0x95


class Client(aiomqtt.Client):
    """One connection. Its own publish() is not to be used beside post().

    `receive_maximum`: publications with QoS 1 that the broker takes before it has acknowledged any.
    """

    def __init__(self, *arguments: Any, protocol: ProtocolVersion = ProtocolVersion.V5, **settings: Any) -> None:
        properties = None
        if protocol is ProtocolVersion.V5:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.MaximumPacketSize = PACKET_TAKEN_MAX
        # How many are in flight is seen to by those who post(); paho's own bound would send from within a callback.
        super().__init__(*arguments, protocol=protocol, properties=properties, max_inflight_messages=0, **settings)
        self._client.on_publish = None  # while nothing is unanswered
        self.receive_maximum = RECEIVE_MAXIMUM
        self._packet_max = PACKET_MAX
        self.dropped = 0  # messages that came faster than they were taken
        self._unanswered: dict[int, Answer] = {}
        self._blocked = False  # the socket takes no more for now: the loop says when it does

    def post(self, publication: Publication, answered: Answer) -> None:
        """Publish; `answered` is called once that is written (QoS 0) or acknowledged (QoS 1), perhaps at once.

        What is longer than the broker takes is refused here (MQTT 5, 3.2.2.3.6): it would hang up, each time anew.
        Raises MqttError where the connection is gone.
        """
        said, properties = len(publication.topic) + len(publication.payload), None
        if (correlation := publication.correlation) is not None:
            said += len(correlation)
            properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
            properties.CorrelationData = correlation
        if said + OVERHEAD_MAX > self._packet_max:
            answered(TOO_LARGE)
            return
        told = publication.topic, publication.payload, publication.qos, publication.retain
        info = self._client.publish(*told, properties)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            why = self._disconnected.exception() if self._disconnected.done() else None
            raise aiomqtt.MqttCodeError(info.rc, "could not publish") from why
        if publication.qos == 0 and not self._client.want_write():
            answered(0)
        else:
            self._unanswered[info.mid] = answered
            self._client.on_publish = self._on_publish

    def _on_connect(self, client: Any, userdata: Any, flags: Any, reason_code: Any, properties: Any = None) -> None:
        self.receive_maximum = getattr(properties, "ReceiveMaximum", RECEIVE_MAXIMUM)
        self._packet_max = getattr(properties, "MaximumPacketSize", PACKET_MAX)
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(self, *arguments: Any) -> None:
        if not self._connected.cancelled():  # it was, where CONNECT was not answered in time; aiomqtt trips over that
            super()._on_disconnect(*arguments)

    def _on_message(self, client: Any, userdata: Any, message: Any) -> None:
        if self._queue.full():
            self.dropped += 1
        else:
            message.payload = message.payload[: SIZE_MAX + 1]  # by more it is not refused any better
            super()._on_message(client, userdata, message)

    async def _misc_loop(self) -> None:
        """Send pings. aiomqtt looks every second; a broker waits half as long again as the keepalive (3.1.2.10)."""
        while self._client.loop_misc() == MQTTErrorCode.MQTT_ERR_SUCCESS:  # noqa: ASYNC110 (paho has no event for it)
            await asyncio.sleep(max(1.0, self._client.keepalive / LOOKS_PER_KEEPALIVE))

    def _on_socket_register_write(self, client: Any, userdata: Any, sock: Any) -> None:
        """Paho has a packet. The socket nearly always takes it at once, and then no turn of the loop is needed."""
        if self._connected.done():  # before, it is said from another thread
            client.loop_write()
            if not client.want_write() or client.socket() is None:
                return
        self._blocked = True
        super()._on_socket_register_write(client, userdata, sock)

    def _on_socket_unregister_write(self, client: Any, userdata: Any, sock: Any) -> None:
        if self._blocked:
            self._blocked = False
            super()._on_socket_unregister_write(client, userdata, sock)

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: Any, properties: Any) -> None:
        if (answered := self._unanswered.pop(mid, None)) is not None:
            answered(reason_code.value)
        if not self._unanswered:
            self._client.on_publish = None  # paho would make a reason code for all that is written
