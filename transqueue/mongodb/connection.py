"""One process's connection to MongoDB: the client, the collections, the followed clock, and what is refused.

Every write is journaled on a majority and every read sees what a majority has; every call has a deadline. A client is
made by the process that uses it, never inherited. It will not be used with a standalone mongod or with weaker writes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC
from functools import cached_property
from typing import Any, TypeVar

import pymongo
from bson.codec_options import CodecOptions
from pymongo import ASCENDING, IndexModel, MongoClient, ReadPreference
from pymongo.client_session import ClientSession
from pymongo.collection import Collection
from pymongo.database import Database
from pymongo.errors import ConfigurationError, InvalidURI, OperationFailure, PyMongoError, WriteConcernError
from pymongo.monitoring import (
    ServerHeartbeatFailedEvent,
    ServerHeartbeatListener,
    ServerHeartbeatStartedEvent,
    ServerHeartbeatSucceededEvent,
)
from pymongo.read_concern import ReadConcern
from pymongo.uri_parser import parse_uri
from pymongo.write_concern import WriteConcern

from ..clock import ServerClock
from ..errors import QueueUnavailable, TopologyRefused, TrackLost
from ..transaction import TransactionIds
from .documents import Document
from .follows import INDEX as FOLLOWS_INDEX
from .follows import Follows
from .indexes import Q_INDEXES, ensure
from .session import SessionWatch

Answer = TypeVar("Answer")

CALL_SECONDS = 5.0
PATIENCE_SECONDS = 20.0  # how long a worker repeats a settlement whose answer did not come
REPEAT_SECONDS = 0.2
WIRE_VERSION_6 = 17  # the first with `$in` in partial indexes
KEEP_WORKERS_SECONDS = 24 * 3600


class Connection:
    """A connected client and what hangs on it. Close it when done.

    Args:
        clock: what follows the server's time, else a new one.
        open_client: what makes the client; `monotonic`, `sleep` and `random` are this process's time and chance. A
            simulation puts its own in their place.
    """

    def __init__(
        self,
        uri: str,
        database: str,
        *,
        clock: ServerClock | None = None,
        open_client: Callable[..., MongoClient[Document]] | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        random: Callable[[], float] = random.random,
    ) -> None:
        self.monotonic, self.sleep, self.random = monotonic, sleep, random
        self.clock = clock or ServerClock(monotonic)
        self.watch = SessionWatch()
        self.ids = TransactionIds()  # of what ended transactions enqueue
        _refuse_weaker_writes(uri)
        try:
            self.client: MongoClient[Document] = (open_client or MongoClient)(
                uri,
                w="majority",
                journal=True,
                readConcernLevel="majority",
                readPreference="primary",
                retryWrites=True,
                timeoutMS=int(CALL_SECONDS * 1000),
                serverSelectionTimeoutMS=int(CALL_SECONDS * 1000),
                heartbeatFrequencyMS=1000,
                tz_aware=True,
                tzinfo=UTC,
                appname="transqueue",
                event_listeners=[_ClockSetter(self.clock), self.watch],
            )
        except (ConfigurationError, InvalidURI, ValueError) as error:
            raise TopologyRefused(f"mongodb.uri: {error}") from error
        self.database: Database[Document] = _safe(self.client, database)
        self.q: Collection[Document] = self.database["Q"]
        self.workers: Collection[Document] = self.database["Workers"]
        self.lanes: Collection[Document] = self.database["Lanes"]
        self.keys: Collection[Document] = self.database["Keys"]
        self.follows = Follows(self.database["Follows"])

    def prepare(self) -> None:
        """Check the deployment and make the indexes. Safe to repeat, at once from many hosts.

        Raises:
            TopologyRefused: this deployment cannot keep the promises.
            QueueUnavailable: it did not answer.
        """
        with answering("check the database"):
            hello = self.client.admin.command("hello")
            _refuse_topology(hello)
            _refuse_unjournaled_majority(self.client, hello)
            self.clock.observe(hello["localTime"])
            ensure(self.q, Q_INDEXES, needed={"idempotency"})
            ensure(self.keys, [IndexModel([("lane", ASCENDING), ("look_at", ASCENDING)], name="look")])
            ensure(self.follows.documents, [FOLLOWS_INDEX])
            old = IndexModel([("ended_at", ASCENDING)], name="old", expireAfterSeconds=KEEP_WORKERS_SECONDS)
            ensure(self.workers, [old])

    @cached_property
    def q_zoneless(self) -> Collection[Document]:
        """Q for those who read very much, and know where its times are: see `documents.decode_leased`."""
        return self.q.with_options(codec_options=CodecOptions(tz_aware=False))

    @cached_property
    def in_session(self) -> Database[Document]:
        """The database inside a session: the concerns are the session's own, PyMongo would send the client's."""
        return self.database.with_options(write_concern=WriteConcern(), read_concern=ReadConcern())

    @cached_property
    def session(self) -> ClientSession:
        """The one session of this process, so that its supervisor knows what to kill."""
        return self.client.start_session(causal_consistency=False)

    def transact(self, run: Callable[[ClientSession], Answer], *, timeout_seconds: float) -> Answer:
        """Run something in the session and commit it; `run` is called again when the database asks for it.

        Raises:
            PyMongoError: not committed, unless `may_be_committed`.
        """
        deadline = self.monotonic() + timeout_seconds
        try:
            with pymongo.timeout(timeout_seconds):
                return self.session.with_transaction(
                    run, read_concern=ReadConcern("snapshot"), write_concern=WriteConcern("majority", j=True)
                )
        finally:
            if self.monotonic() >= deadline:
                self._unlock()

    def _unlock(self) -> None:
        """End the session on the server: past the deadline PyMongo sends no abort, and what it wrote stays locked."""
        with suppress(PyMongoError), pymongo.timeout(CALL_SECONDS):
            self.client.admin.command("killSessions", [self.session.session_id])

    def insist(self, write: Callable[[], Answer]) -> Answer:
        """Make a conditional write until its answer comes: a repeat after a lost answer finds it done.

        Raises:
            TrackLost: no answer for longer than this worker's lease can be trusted.
        """
        until = self.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                with pymongo.timeout(CALL_SECONDS):
                    return write()
            except (PyMongoError, QueueUnavailable) as error:
                if self.monotonic() >= until:
                    raise TrackLost(f"unknown whether a settlement was written: {error}") from error
                self.sleep(REPEAT_SECONDS)

    def close(self) -> None:
        """Close all sockets."""
        self.client.close()


@contextmanager
def answering(what: str) -> Generator[None]:
    """Turn any trouble with the database into `QueueUnavailable`, saying what was being done."""
    try:
        yield
    except PyMongoError as error:
        raise QueueUnavailable(f"could not {what}: {error}") from error


def may_be_committed(error: PyMongoError) -> bool:
    """Whether the session of `transact` may be committed all the same.

    An error of the write concern, not always labelled so, is one of waiting for a majority after the commit.
    """
    return error.has_error_label("UnknownTransactionCommitResult") or isinstance(error, WriteConcernError)


def _safe(client: MongoClient[Document], database: str) -> Database[Document]:
    """The database with our own concerns, whatever client an application brings."""
    return client.get_database(
        database,
        codec_options=CodecOptions(tz_aware=True, tzinfo=UTC),
        read_preference=ReadPreference.PRIMARY,
        write_concern=WriteConcern("majority", j=True),
        read_concern=ReadConcern("majority"),
    )


class _ClockSetter(ServerHeartbeatListener):
    """Takes the primary's time from each heartbeat, so that an election or a stepped clock is followed at once."""

    def __init__(self, clock: ServerClock) -> None:
        self._clock = clock

    def started(self, event: ServerHeartbeatStartedEvent) -> None: ...

    def succeeded(self, event: ServerHeartbeatSucceededEvent) -> None:
        reply = event.reply
        if reply.is_writable and "localTime" in reply.document:
            self._clock.observe(reply.document["localTime"])

    def failed(self, event: ServerHeartbeatFailedEvent) -> None: ...


def _refuse_weaker_writes(uri: str) -> None:
    try:
        options = parse_uri(uri, validate=False, warn=False)["options"]
    except (ConfigurationError, InvalidURI, ValueError) as error:
        raise TopologyRefused(f"mongodb.uri: {error}") from error
    journal = str(options.get("journal", options.get("j", "true")))
    if options.get("w", "majority") != "majority" or journal.lower() == "false":
        raise TopologyRefused("mongodb.uri asks for a weaker write concern: leave out `w` and `journal`")


def _refuse_topology(hello: Mapping[str, Any]) -> None:
    if hello.get("maxWireVersion", 0) < WIRE_VERSION_6:
        raise TopologyRefused("this MongoDB is older than 6.0: TransQueue needs 6.0 or newer (7 or 8 is advised)")
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise TopologyRefused(
            "this mongod is a standalone: TransQueue needs a replica set, which may have one member. Start mongod "
            "with --replSet NAME, run rs.initiate() once, and add ?replicaSet=NAME to mongodb.uri"
        )


def _refuse_unjournaled_majority(client: MongoClient[Document], hello: Mapping[str, Any]) -> None:
    if "setName" not in hello:
        return
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure:
        return  # this user may not look; every write asks for the journal by itself
    if config.get("writeConcernMajorityJournalDefault") is False:
        raise TopologyRefused(
            "writeConcernMajorityJournalDefault is off on this replica set: an acknowledged write could be lost. "
            "Set it to true with rs.reconfig()"
        )
