"""One connection to an MQTT broker, with a last will, and what can go wrong with it in words for a person.

aiomqtt is imported where it is used: most commands of hemsd never speak MQTT.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from hemsd.gateway.config import LinkConfig
from hemsd.gateway.requests import Incoming
from hemsd.gateway.tls import WrongKey, context_for
from hemsd.gateway.topics import Publication

if TYPE_CHECKING:
    from aiomqtt import Message, MqttError

    from hemsd.gateway.client import Client

ANSWER_WITHIN_S = 10.0  # the broker: to CONNECT and to each publication that it acknowledges
INCOMING_MAX = 256  # messages that wait for us; more are dropped
FAREWELL_S = 0.8  # each for the last publication and for the DISCONNECT

Version = Literal["5", "3.1.1"]
T = TypeVar("T")

UNSUPPORTED_VERSION = 0x84
REFUSALS: Mapping[int, str] = {  # MQTT 5 reason codes (3.2.2.2, 3.14.2.1); paho gives them for 3.1.1 as well
    0x80: "closed the connection",
    0x81: "did not understand us",
    0x82: "did not keep to the protocol, or found that we did not",
    UNSUPPORTED_VERSION: "does not speak this version of MQTT: see version",
    0x85: "does not accept our client id: see client_id",
    0x86: "refused the user name or password: see username and password_file",
    0x87: "refused us: see username and password_file, or cert_file, and the broker's access rules",
    0x88: "is not available now",
    0x89: "is too busy now",
    0x8A: "has banned us",
    0x8B: "is shutting down",
    0x8C: "wants another way of authentication",
    0x8D: "fell silent",
    0x8E: "dropped us for another client with the same client id: give one of them another client_id",
    0x90: "does not accept our topic: see base_topic",
    0x93: "finds that we send too much at once",
    0x95: "finds our message too large",
    0x96: "finds that we send too often",
    0x97: "says that a quota is used up",
    0x9A: "does not keep retained messages, which we need",
    0x9B: "does not support the quality of service that we need (1)",
    0x9C: "sends us to another broker for now: see url",
    0x9D: "has moved to another place: see url",
    0x9F: "has too many new connections now",
}

PUBLISH_REFUSALS: Mapping[int, str] = {  # MQTT 5, 3.4.2.1: of PUBACK
    0x80: "it does not say why",
    0x83: "it does not take it",
    0x87: "its access rules do not allow it to us",
    0x90: "it does not accept the topic",
    0x95: "it takes no message as long as this",
    0x97: "a quota is used up",
    0x99: "it does not accept the payload",
}


class BrokerError(Exception):
    """No connection, or no longer; the text says why and what to look at.

    `try_other_version`: the broker refused this version of MQTT, or hung up on it without a word.
    """

    def __init__(self, text: str, *, try_other_version: bool = False) -> None:
        super().__init__(text)
        self.try_other_version = try_other_version


class Connection:
    """An established connection; see connect()."""

    def __init__(self, client: Client, config: LinkConfig, version: Version) -> None:
        self._client = client
        self._config = config
        self._version = version

    async def publish(self, publication: Publication) -> str:
        """Publish, and with QoS 1 wait for the broker's answer: empty, or why it refused. Raises BrokerError."""
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.send(publication, lambda why: None if answer.done() else answer.set_result(why))
        if answer.done():
            return answer.result()
        try:
            async with asyncio.timeout(self._client.timeout):
                return await answer
        except TimeoutError:
            raise self.silence() from None

    def send(self, publication: Publication, answered: Callable[[str], None]) -> None:
        """Publish without waiting; `answered` is called once, as publish() returns, or never. Raises BrokerError."""
        try:
            self._client.post(publication, lambda code: answered(_refusal(code)))
        except _mqtt_error() as error:
            raise BrokerError(_lost(error, self._config)) from error

    @property
    def in_flight(self) -> int:
        """Publications with QoS 1 that may be sent before any is acknowledged, beside one of publish()."""
        return max(1, self._client.receive_maximum - 1)

    def silence(self) -> BrokerError:
        """What to raise where an answer is overdue."""
        return BrokerError(f"the broker {self._config.host}:{self._config.port} does not answer")

    async def subscribe(self, topic: str) -> str:
        """Subscribe at QoS 1; empty, or why the broker refused. Raises BrokerError.

        By MQTT 5 a message that the broker keeps says so whenever it comes, by 3.1.1 only after subscribing.
        """
        from paho.mqtt.subscribeoptions import SubscribeOptions

        how: tuple[int, SubscribeOptions | None] = (1, None)
        if self._version == "5":
            how = 0, SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True)
        try:
            answers = await _cancellable(self._client.subscribe(topic, *how))
        except _mqtt_error() as error:
            raise BrokerError(_lost(error, self._config)) from error
        codes = [answer if isinstance(answer, int) else int(answer.value) for answer in answers]
        return _refusal(max(codes, default=0))

    @property
    def dropped(self) -> int:
        """Messages that came faster than listen() could hand them on."""
        return self._client.dropped

    async def listen(self, hear: Callable[[Incoming], None]) -> None:
        """Hand on what is delivered, until the end of the connection, which raises BrokerError."""
        try:
            async for message in self._client.messages:
                hear(_incoming(message))
        except _mqtt_error() as error:
            raise BrokerError(_lost(error, self._config)) from error


@asynccontextmanager
async def connect(
    config: LinkConfig, version: Version, client_id: str, will: Publication | None
) -> AsyncIterator[Connection]:
    """Connect; leaving, for whatever reason, publishes the will, if any, and disconnects. Raises BrokerError."""
    from aiomqtt import MqttError, ProtocolVersion, Will

    from hemsd.gateway.client import Client

    last_words = _LastWords()
    client = Client(
        config.host,
        config.port,
        username=config.username,
        password=_password(config),
        identifier=client_id,
        protocol=ProtocolVersion.V5 if version == "5" else ProtocolVersion.V311,
        will=Will(will.topic, will.payload, will.qos, will.retain) if will else None,
        keepalive=config.keepalive_s,
        timeout=ANSWER_WITHIN_S,
        tls_context=_tls_context(config),
        max_queued_incoming_messages=INCOMING_MAX,
        logger=last_words.logger,
    )
    try:
        try:
            await _cancellable(client.__aenter__())
        except MqttError as error:
            raise _refused(error, last_words.text, config) from error
        connection = Connection(client, config, version)
        try:
            yield connection
        finally:
            client.timeout = FAREWELL_S
            with suppress(BrokerError):
                if will is not None:
                    await connection.publish(will)
    finally:  # where connecting failed too: aiomqtt leaves the socket open
        client.timeout = FAREWELL_S
        with suppress(MqttError):
            await client.__aexit__(None, None, None)


def _mqtt_error() -> type[MqttError]:
    """Looked for only where something was raised."""
    from aiomqtt import MqttError

    return MqttError


def _incoming(message: Message) -> Incoming:
    properties = message.properties  # has only the attributes that were sent
    return Incoming(
        topic=str(message.topic),
        payload=message.payload,
        retained=message.retain,
        response_topic=getattr(properties, "ResponseTopic", ""),
        correlation=getattr(properties, "CorrelationData", None),
        expiry_s=getattr(properties, "MessageExpiryInterval", None),
    )


async def _cancellable(work: Coroutine[Any, Any, T]) -> T:
    """Await a call of aiomqtt so that it can be cancelled.

    It uses asyncio.wait_for(), which before Python 3.12 loses a cancellation that coincides with the result (CPython
    issue 86296).
    """
    task = asyncio.create_task(work)
    try:
        await asyncio.wait([task])
    finally:
        task.cancel()
    return task.result()


class _LastWords(logging.Handler):
    """Holds paho's last complaint: aiomqtt tells of a connection cut before CONNACK as a mere timeout."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.text = ""
        # Apart from the others: each retry would be in the log. What it is not to hold is not even put into words.
        self.logger = logging.Logger("hemsd.gateway.mqtt", self.level)
        self.logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.text = record.getMessage()


def _password(config: LinkConfig) -> str | None:
    try:
        return config.read_password()
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerError(f"password_file {config.password_file}: {_reason(error)}") from error


def _tls_context(config: LinkConfig) -> ssl.SSLContext | None:
    """Read the files anew, so that renewed ones are used. Raises BrokerError."""
    if not config.tls:
        return None
    try:
        return context_for(config)
    except (OSError, ValueError) as error:
        files = ", ".join(path for path in (config.ca_file, config.cert_file, config.key_file) if path)
        raise BrokerError(f"the certificates cannot be used ({files}): {_reason(error)}") from error


def _refused(error: MqttError, last_words: str, config: LinkConfig) -> BrokerError:
    """Why a connection could not be made."""
    broker = f"the broker {config.host}:{config.port}"
    if said := _said(error):
        return BrokerError(f"{broker} {said}", try_other_version=_code(error) == UNSUPPORTED_VERSION)
    cause = error.__context__  # aiomqtt raises "from None"
    if "ALERT" in f"{cause} {last_words}":
        own = f"our certificate {config.cert_file}" if config.cert_file else "us without a certificate: see cert_file"
        return BrokerError(f"{broker} refused {own} ({last_words or _reason(cause)})")
    scheme = "see url, mqtt:// is plain and mqtts:// is TLS"
    match cause:
        case socket.gaierror():
            return BrokerError(f"the name {config.host} cannot be resolved: see url, and the network's DNS")
        case WrongKey():
            return BrokerError(f"{broker} cannot be trusted: its key is not the one of pin, but {cause.pin}")
        case ssl.SSLCertVerificationError():
            return BrokerError(f"{broker} cannot be trusted: {cause.verify_message}; see ca_file and url")
        case ssl.SSLError() | ConnectionResetError():
            return BrokerError(f"{broker} did not let us in ({_reason(cause)}): {scheme}")
        case ConnectionRefusedError():
            return BrokerError(f"nothing answers at {config.host}:{config.port}: is the broker running?")
        case OSError() if str(cause):  # a timeout without text is aiomqtt's own, of the answer to CONNECT
            return BrokerError(f"{broker} cannot be reached: {_reason(cause)}")
        case _:
            why = last_words or "no answer to CONNECT"
            return BrokerError(f"{broker} did not let us in ({why}): {scheme}", try_other_version=True)


def _refusal(code: int) -> str:
    """Why a publication was refused, by the reason code of its acknowledgement; empty where it was not."""
    return "" if code < 0x80 else PUBLISH_REFUSALS.get(code, f"reason code 0x{code:02X}")


def _lost(error: MqttError, config: LinkConfig) -> str:
    """Why a connection ended."""
    said = _said(error)
    if not said:
        match error.__cause__ or error.__context__:
            case TimeoutError():
                said = "does not answer"
            case OSError() as cause:
                said = f"was lost: {_reason(cause)}"
            case _:
                said = "closed the connection"
    return f"the broker {config.host}:{config.port} {said}"


def _said(error: BaseException | None) -> str:
    """What the broker itself gave as its reason, in words."""
    code = _code(error)
    return REFUSALS.get(code, f"gave reason code 0x{code:02X}" if code >= 0x80 else "")


def _code(error: BaseException | None) -> int:
    """The MQTT reason code in an error or its cause; 0 where the broker gave none."""
    from aiomqtt import MqttCodeError
    from paho.mqtt.reasoncodes import ReasonCode

    while error is not None:
        if isinstance(error, MqttCodeError) and isinstance(error.rc, ReasonCode):
            return int(error.rc.value)
        error = error.__cause__
    return 0


def _reason(error: BaseException | None) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text[:1].lower() + text[1:]
