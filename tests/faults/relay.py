"""A TCP relay to a mongod that loses, holds or delays what goes through it, message by message."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Fate = Literal["lose reply", "lose request", "hold reply", "hold request"]
PATIENCE_SECONDS = 30.0  # for what is waited for by a test that fails otherwise


@dataclass(slots=True)
class Rule:
    """What becomes of the next so many messages that hold `pattern`."""

    pattern: bytes = b""
    fate: Fate = "lose reply"
    left: int = 0
    caught: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)
    answered: threading.Event = field(default_factory=threading.Event)


class Relay:
    """Stands before the mongod of a URI, and forwards all that it is not told to do otherwise with.

    A request or a reply is lost with its connection, as where a machine between breaks. One that is held stays on its
    way, and its connection silent, until it is released: then it arrives, whoever still waits for it.

    Attributes:
        lost: how many were lost so far.
    """

    def __init__(self, uri: str) -> None:
        host, _, port = uri.removeprefix("mongodb://").partition("/")[0].partition(":")
        self.lost = 0
        self._server, self._open = (host, int(port)), set[socket.socket]()
        self._rule, self._rules, self._lock = Rule(), list[Rule](), threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._spawn(self._accept)

    @property
    def uri(self) -> str:
        return f"mongodb://127.0.0.1:{self._listener.getsockname()[1]}/?directConnection=true"

    def on(self, fate: Fate, command: str, collection: str = "", *, times: int = 1) -> None:
        """What becomes of the next so many of a command, on one collection if it is named; of all others nothing."""
        value = b"\x02%s\x00" % command.encode() + struct.pack("<i", len(collection) + 1) + collection.encode()
        pattern = value + b"\x00" if collection else command.encode() + b"\x00"
        with self._lock:
            self._rule = Rule(pattern, fate, times)
            self._rules.append(self._rule)

    def lose_replies(self, command: str, collection: str = "", *, times: int = 1) -> None:
        """Applied, and not answered."""
        self.on("lose reply", command, collection, times=times)

    def catch(self) -> None:
        """Wait until what was last told of is held, or lost."""
        if not self._rule.caught.wait(PATIENCE_SECONDS):
            raise TimeoutError("nothing of it came through the relay")

    def release(self) -> None:
        """What is held goes on, and nothing more is caught. Returns when the server has answered the held requests."""
        with self._lock:
            self._rule.left = 0
            rules, self._rules = self._rules, []
        for rule in rules:
            rule.released.set()
        for rule in rules:
            if rule.fate == "hold request" and rule.caught.is_set() and not rule.answered.wait(PATIENCE_SECONDS):
                raise TimeoutError("a request that was held is not answered")

    def close(self) -> None:
        self.release()
        for one in [self._listener, *self._open]:
            _hang_up(one)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near = self._listener.accept()[0]
                far = socket.create_connection(self._server)
                self._open |= {near, far}
                replies = list[Rule]()  # of what becomes of the next reply, at most one
                self._spawn(self._requests, near, far, replies)
                self._spawn(self._replies, near, far, replies)

    def _requests(self, near: socket.socket, far: socket.socket, replies: list[Rule]) -> None:
        for message in _messages(near):
            rule = self._match(message)
            if rule and rule.fate == "lose request":
                self._count(rule)
                break
            if rule and rule.fate == "hold request":
                _hold(rule)
            if rule:
                replies.append(rule)
            with contextlib.suppress(OSError):
                far.sendall(message)
        if not replies:
            _hang_up(near, far)

    def _replies(self, near: socket.socket, far: socket.socket, replies: list[Rule]) -> None:
        for message in _messages(far):
            rule = replies.pop() if replies else None
            if rule and rule.fate == "lose reply":
                self._count(rule)
                break
            if rule and rule.fate == "hold reply":
                _hold(rule)
            if rule:
                rule.answered.set()
            try:
                near.sendall(message)
            except OSError:
                break
        _hang_up(near, far)

    def _count(self, rule: Rule) -> None:
        self.lost += 1
        rule.caught.set()

    def _match(self, message: bytes) -> Rule | None:
        with self._lock:
            rule = self._rule
            if rule.left <= 0 or rule.pattern not in message:
                return None
            rule.left -= 1
            return rule

    def _spawn(self, target: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=target, args=arguments, daemon=True, name="relay").start()


def _hold(rule: Rule) -> None:
    rule.caught.set()
    rule.released.wait()


def _messages(stream: socket.socket) -> Iterator[bytes]:
    """The whole messages of MongoDB's wire protocol, until the stream ends."""
    with contextlib.suppress(OSError):
        while head := stream.recv(4, socket.MSG_WAITALL):
            rest = stream.recv(struct.unpack("<i", head)[0] - 4, socket.MSG_WAITALL)
            yield head + rest


def _hang_up(*streams: socket.socket) -> None:
    for one in streams:
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()
