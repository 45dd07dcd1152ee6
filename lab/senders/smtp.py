"""What the two sides say to each other (RFC 5321, 3207, 2920, 4954), turn by turn.

:func:`converse` plays one connection: a :class:`Client` with its habits, a server of the world,
and the messages it has for it. It gives the turns, how the connection ends, and what became of
each message, by which the sender decides what to try again.
"""

from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import numpy as np

from lab.senders.wire import LINUX, Machine, Turn
from lab.senders.world import Server

__all__ = ["Client", "Message", "Talk", "converse"]


@dataclass(frozen=True)
class Client:
    """How a program speaks SMTP."""

    helo: str = "mail.customer.example"
    verb: str = "EHLO"
    machine: Machine = LINUX
    waits: bool = True
    """for each reply; else it sends the next line after a moment"""
    early: bool = False
    """speaks before the greeting"""
    tls: bool = True
    """uses STARTTLS where it is offered"""
    pipelines: bool = True
    quits: float = 1.0
    """probability of QUIT"""
    ending: str = "client"
    """how it closes where it does not quit"""
    wordless: float = 0.0
    """probability that it leaves after the greeting without a word"""
    shy: float = 0.0
    """probability that it leaves after its EHLO was answered"""
    space: bool = False
    """``MAIL FROM: <``, against the grammar (RFC 5321, 3.3)"""
    port: int = 25
    auth: str = ""
    """``good`` or ``bad``: it logs in first, with a password that is right or not"""
    spam: bool = False
    """whether a content filter would refuse what it sends"""
    lists: frozenset[str] = frozenset()
    """``policy``, ``spam``: on which kinds of lists its address is"""
    named: bool = True
    """whether its address has a name that looks like a mail server's"""


@dataclass
class Message:
    """One message for one server."""

    sender: str
    recipients: list[tuple[str, bool]]
    """addresses, and whether there is such a mailbox"""
    size: int = 4000
    data: bool = True
    """whether it goes on to DATA when a recipient was accepted"""
    results: list[str] = field(default_factory=list)


class Talk(NamedTuple):
    """One connection's words."""

    turns: list[Turn]
    ending: str
    results: list[str]
    """of each message: ``taken``, ``unknown``, ``later``, ``policy``, ``listed``, ``content``,
    ``left`` (the client went), ``asked`` (no DATA was meant)"""


_HELLO_RANDOM: Final = bytes(range(7, 39))


def _client_hello(name: str) -> bytes:
    """A TLS 1.3 ClientHello (RFC 8446, 4.1.2) with a server name (RFC 6066, 3)."""
    host = name.encode()
    sni = b"\0" + len(host).to_bytes(2) + host
    sni = b"\0\0" + (len(sni) + 2).to_bytes(2) + len(sni).to_bytes(2) + sni
    extensions = sni + bytes.fromhex("002b0003020304000a00040002001d")
    body = b"\x03\x03" + _HELLO_RANDOM + b"\0" + b"\0\x04\x13\x01\x13\x02" + b"\x01\0"
    body += len(extensions).to_bytes(2) + extensions
    handshake = b"\x01" + len(body).to_bytes(3) + body
    return b"\x16\x03\x01" + len(handshake).to_bytes(2) + handshake


def _records(size: int) -> bytes:
    """TLS records of application data for so many bytes of words."""
    out = bytearray()
    while size > 0:
        part = min(size, 16_000)
        length = part + 17
        out += b"\x17\x03\x03" + length.to_bytes(2)
        out += (bytes((i * 37 + 11) & 255 for i in range(64)) * (length // 64 + 1))[:length]
        size -= part
    return bytes(out)


class _Script:
    """Turns as they are spoken; under TLS only their size is left."""

    def __init__(self, rng: np.random.Generator, client: Client) -> None:
        self.turns: list[Turn] = []
        self.hidden = False
        self._rng, self._client = rng, client

    def server(self, text: str, wait: float | None = None) -> None:
        pause = float(self._rng.exponential(0.004)) if wait is None else wait
        self._add(True, text, pause)

    def client(self, text: str) -> None:
        wait = 0.002 if self._client.waits else 0.0005
        self._add(False, text, float(self._rng.exponential(wait)))

    def _add(self, from_server: bool, text: str, wait: float) -> None:
        data = text.replace("\n", "\r\n").encode()
        self.turns.append(Turn(from_server, _records(len(data)) if self.hidden else data, wait))


def _body(message: Message, spam: bool) -> str:
    head = f"From: <{message.sender}>\nSubject: {'Great offer' if spam else 'Minutes'}\n\n"
    line = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod\n"
    return head + line * max(1, message.size // len(line)) + ".\n"


def _listed(client: Client, server: Server) -> str:
    """On which kind of list the server finds the client, if it asks that kind."""
    if server.asks_spam and "spam" in client.lists:
        return "listed"
    if server.asks_policy and "policy" in client.lists:
        return "policy"
    return ""


def _refusal(server: Server, why: str, address: str) -> str:
    name = {"policy": "pbl.lists.example", "listed": "sbl.lists.example"}[why]
    if server.names_list:
        return f"550 5.7.1 Service unavailable; client [{address}] blocked using {name}\n"
    return "554 5.7.1 Access denied\n"


def converse(
    rng: np.random.Generator,
    client: Client,
    server: Server,
    messages: list[Message],
    now: float,
    address: str,
    hour: dict[tuple[int, int], int],
) -> Talk:
    """Play one connection.

    ``address``: the client's, as the server writes it; ``hour``: how many messages a provider has
    had from it in an hour (updated).
    """
    script = _Script(rng, client)
    why = _listed(client, server)
    results = ["left"] * len(messages)
    if why and server.refuses_at == "greeting":
        script.server(_refusal(server, why, address).replace("550", "554"), server.greets_after)
        return Talk(script.turns, "server", [why] * len(messages))
    if client.early:
        script.client(f"{client.verb} {client.helo}\n")
    script.server(f"220 {server.name} ESMTP\n", server.greets_after)
    if rng.random() < client.wordless:
        return Talk(script.turns, client.ending, results)
    if not client.early:
        script.client(f"{client.verb} {client.helo}\n")
    _hello(script, client, server)
    if rng.random() < client.shy:
        return Talk(script.turns, client.ending, results)
    if client.tls and server.tls and client.verb == "EHLO":
        script.client("STARTTLS\n")
        script.server("220 2.0.0 Ready\n")
        script.turns.append(Turn(False, _client_hello(server.name), 0.001))
        script.hidden = True
        script.server("x" * 2800)
        script.client("x" * 60 + f"{client.verb} {client.helo}\n")
        _hello(script, replace(client, tls=False), server)
    if client.auth:
        script.client("AUTH PLAIN AHVzZXIAc2VjcmV0\n")
        if client.auth == "bad":
            script.server("535 5.7.8 Authentication credentials invalid\n", 0.5)
            return _goodbye(rng, script, client, results)
        script.server("235 2.7.0 Accepted\n")
        why = ""
    for number, message in enumerate(messages):
        results[number] = _transaction(
            rng, script, client, server, message, why, now, address, hour
        )
        if results[number] in ("listed", "policy") and server.refuses_at == "mail":
            break
        if results[number] != "taken" and number + 1 < len(messages):
            script.client("RSET\n")
            script.server("250 2.0.0 Ok\n")
    return _goodbye(rng, script, client, results)


def _hello(script: _Script, client: Client, server: Server) -> None:
    if client.verb != "EHLO":
        script.server(f"250 {server.name}\n")
        return
    offered = ["SIZE 36700160"]
    if server.pipelining:
        offered.append("PIPELINING")
    if server.tls and not script.hidden:
        offered.append("STARTTLS")
    if client.auth or client.port != 25:
        offered.append("AUTH PLAIN LOGIN")
    offered.append("8BITMIME")
    lines = [server.name, *offered]
    text = "".join(f"250-{line}\n" for line in lines[:-1]) + f"250 {lines[-1]}\n"
    script.server(text)


def _goodbye(rng: np.random.Generator, script: _Script, client: Client, results: list[str]) -> Talk:
    if rng.random() < client.quits:
        script.client("QUIT\n")
        script.server("221 2.0.0 Bye\n")
        return Talk(script.turns, "server", results)
    return Talk(script.turns, client.ending, results)


def _transaction(
    rng: np.random.Generator, script: _Script, client: Client, server: Server,
    message: Message, why: str, now: float, address: str, hour: dict[tuple[int, int], int],
) -> str:  # fmt: skip
    """One message; what became of it."""
    from_ = f"MAIL FROM:{' ' if client.space else ''}<{message.sender}>\n"
    tos = [f"RCPT TO:<{to}>\n" for to, _ in message.recipients]
    slot = server.provider, int(now // 3600)
    hour[slot] = hour.get(slot, 0) + 1
    weary = not client.named and not client.auth and hour[slot] > server.patience
    replies, accepted, result = [], 0, ""
    mail_reply = "250 2.1.0 Ok\n"
    if why and server.refuses_at == "mail":
        mail_reply, result = _refusal(server, why, address), why
    for to, exists in message.recipients:
        reply, verdict = _recipient(client, server, why, weary, to, exists, message, now, address)
        if result and mail_reply[0] == "5":
            reply = "503 5.5.1 Error: need MAIL command\n"
        elif verdict == "":
            accepted += 1
        else:
            result = verdict
        replies.append(reply)
    pipelined = client.pipelines and server.pipelining
    if pipelined:
        script.client(from_ + "".join(tos) + ("DATA\n" if message.data else ""))
        tail = ""
        if message.data:
            tail = (
                "354 End data with <CR><LF>.<CR><LF>\n"
                if accepted
                else ("554 5.5.1 Error: no valid recipients\n")
            )
        script.server(mail_reply + "".join(replies) + tail)
    else:
        script.client(from_)
        script.server(mail_reply)
        if mail_reply[0] == "5":
            return result
        for to, reply in zip(tos, replies, strict=True):
            script.client(to)
            script.server(reply)
        if accepted and message.data:
            script.client("DATA\n")
            script.server("354 End data with <CR><LF>.<CR><LF>\n")
    if not message.data:
        return "asked"
    if not accepted:
        return result
    script.client(_body(message, client.spam))
    if client.spam and rng.random() < server.filters:
        script.server("554 5.7.1 Message rejected as spam\n", 0.2)
        return "content"
    script.server("250 2.0.0 Ok: queued as 4F2A1\n", 0.05)
    return "taken"


def _recipient(
    client: Client, server: Server, why: str, weary: bool, to: str, exists: bool,
    message: Message, now: float, address: str,
) -> tuple[str, str]:  # fmt: skip
    if why and server.refuses_at == "rcpt":
        return _refusal(server, why, address), why
    if weary:
        return "451 4.7.1 Try again later, too much mail from your address\n", "later"
    if server.greylists and not client.auth:
        key = address, message.sender, to
        first = server.seen.setdefault(key, now)
        if now - first < 300:
            return "450 4.2.0 Greylisted, see you later\n", "later"
    if not exists and not server.catches_all:
        return "550 5.1.1 No such user here\n", "unknown"
    return "250 2.1.5 Ok\n", ""
