"""What keys allow, how they are recognised, and how soon a revoked one is known everywhere."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from transqueue.access import Access, ApiKey, Guard, Keyring, Scope, Strangers, new_key, require_keys
from transqueue.access.key import fits, hashed, parts
from transqueue.access.remembered import FRESH_SECONDS, STALE_SECONDS, Remembered
from transqueue.access.strangers import ADDRESSES, BURST, REFILL_SECONDS
from transqueue.errors import KeysMissing, QueueUnavailable, SubmissionRefused
from transqueue.events import Events
from transqueue.testing import SettableClock

T0 = datetime(2026, 1, 1, tzinfo=UTC)
SUBMIT, READ, OPERATE, ADMIN = Scope


def access(*scopes: Scope, types: frozenset[str] | None = None) -> Access:
    return Access("ann", "0123456789ab", frozenset(scopes), types)


@pytest.mark.parametrize(
    ("has", "allows"),
    [
        ((), ()),
        ((SUBMIT,), (SUBMIT,)),
        ((READ,), (READ,)),
        ((OPERATE,), (OPERATE, READ)),
        ((ADMIN,), tuple(Scope)),
        ((SUBMIT, OPERATE), (SUBMIT, OPERATE, READ)),
    ],
)
def test_a_scope_allows_itself_and_what_it_implies(has: tuple[Scope, ...], allows: tuple[Scope, ...]) -> None:
    assert {scope for scope in Scope if access(*has).allows(scope)} == set(allows)


def test_who_only_submits_sees_its_own_and_lists_are_narrowed_to_that() -> None:
    own, other = SimpleNamespace(submitter="ann"), SimpleNamespace(submitter="bob")
    assert [access(SUBMIT).sees(one) for one in (own, other)] == [True, False]
    assert [access(READ).sees(one) for one in (own, other)] == [True, True]
    assert [access().sees(one) for one in (own, other)] == [False, False]
    assert (access(SUBMIT).own_only, access(OPERATE).own_only) == ("ann", None)


@pytest.mark.parametrize(
    ("types", "type", "may"),
    [
        (None, "deposit", True),
        ({"deposit"}, "deposit", True),
        ({"deposit"}, "deposits", False),
        ({"deposit"}, "deposit.now", False),
        ({"invoice.*"}, "invoice.pay", True),
        ({"invoice.*"}, "invoice", False),
        ({"invoice.*"}, "invoices.pay", False),
    ],
)
def test_the_types_of_a_key_narrow_what_it_may_submit(types: set[str] | None, type: str, may: bool) -> None:
    assert access(SUBMIT, types=types and frozenset(types)).may_submit(type) is may
    assert not access(READ, types=types and frozenset(types)).may_submit(type)


def test_without_keys_those_on_this_machine_may_do_everything_and_nobody_nothing() -> None:
    assert all(Access.local().allows(scope) for scope in Scope)
    assert not any(Access.nobody().allows(scope) for scope in Scope)
    assert (Access.local().by, access(READ).by) == ("local", "key:0123456789ab")


# Keys


def test_a_key_has_256_random_bits_and_only_their_hash_is_kept() -> None:
    made, again = new_key("ann", [SUBMIT], T0), new_key("ann", [SUBMIT], T0)
    id, secret = parts(made.text)
    assert (id, len(bytes.fromhex(secret))) == (made.key.id, 32)
    assert made.text != again.text
    assert made.key.hash == hashed(secret)
    assert secret not in repr(made)
    assert secret not in repr(made.key)
    assert fits(secret, made.key)
    assert not fits(parts(again.text)[1], made.key)


@pytest.mark.parametrize("text", ["", "tq_", "tq__", "tq_0123456789ab_", "TQ_0123456789ab_" + "0" * 64, "x" * 10_000])
def test_a_text_that_is_no_key_has_no_parts_and_fits_nothing(text: str) -> None:
    assert parts(text) == ("", "")
    assert not fits(parts(text)[1], None)


@pytest.mark.parametrize(
    ("changes", "state"),
    [
        ({}, "active"),
        ({"expires_at": T0 + timedelta(seconds=1)}, "active"),
        ({"expires_at": T0}, "expired"),
        ({"revoked_at": T0}, "revoked"),
        ({"revoked_at": T0, "expires_at": T0}, "revoked"),
    ],
)
def test_a_key_works_until_it_is_revoked_or_its_time_has_come(changes: dict[str, Any], state: str) -> None:
    assert replace(new_key("ann", [SUBMIT], T0).key, **changes).state(T0) == state


# Recognising them


class Store:
    """Keys in a dict, and how often they were read and used."""

    def __init__(self) -> None:
        self.keys: dict[str, ApiKey] = {}
        self.reads = 0
        self.uses: list[str] = []
        self.away = False

    def all(self) -> list[ApiKey]:
        self.reads += 1
        return [*self.keys.values()]

    def used(self, id: str, /) -> None:
        if self.away:
            raise QueueUnavailable
        self.uses.append(id)


class Watch:
    """The monotonic clock and the server's, moved together."""

    def __init__(self) -> None:
        self.seconds, self.clock = 0.0, SettableClock(T0)

    def __call__(self) -> float:
        return self.seconds

    def pass_(self, seconds: float) -> None:
        self.seconds += seconds
        self.clock.advance(seconds)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def keyring(store: Store, watch: Watch) -> Keyring:
    return Keyring(store, watch.clock, watch)


def kept(store: Store, **options: Any) -> str:
    made = new_key("ann", [SUBMIT], T0, **options)
    store.keys[made.key.id] = made.key
    return made.text


def test_a_key_is_recognised_by_its_id_and_its_secret_together(store: Store, keyring: Keyring) -> None:
    text, other = kept(store), kept(store)
    found = keyring.authenticate(text)
    assert found is not None
    assert (found.submitter, found.key_id) == ("ann", parts(text)[0])
    mixed = f"tq_{parts(text)[0]}_{parts(other)[1]}"
    assert keyring.authenticate(mixed) is None
    assert keyring.authenticate(new_key("ann", [SUBMIT], T0).text) is None
    assert keyring.authenticate("") is None


def test_an_unknown_key_is_compared_as_a_known_one_is(
    store: Store, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[str, str]] = []
    monkeypatch.setattr("hmac.compare_digest", lambda *both: compared.append(both) or False)
    for text in (kept(store), new_key("ann", [SUBMIT], T0).text, "no key at all"):
        assert keyring.authenticate(text) is None
    assert [[len(one) for one in both] for both in compared] == [[64, 64]] * 3


def test_keys_are_read_at_most_once_in_two_seconds_whoever_asks(store: Store, keyring: Keyring, watch: Watch) -> None:
    text = kept(store)
    for _ in range(4):
        assert keyring.authenticate(text)
        assert keyring.authenticate(new_key("ann", [SUBMIT], T0).text) is None
        watch.pass_(FRESH_SECONDS / 4)
    assert store.reads == 1
    assert keyring.authenticate(text)
    assert store.reads == 2


def test_a_revoked_key_is_refused_within_two_seconds(store: Store, keyring: Keyring, watch: Watch) -> None:
    text = kept(store)
    id = parts(text)[0]
    assert keyring.authenticate(text)
    store.keys[id] = replace(store.keys[id], revoked_at=T0)
    watch.pass_(FRESH_SECONDS)
    assert keyring.authenticate(text) is None
    assert keyring.access(id) is None


def test_a_key_ends_at_its_time_though_nobody_reads_again(store: Store, keyring: Keyring, watch: Watch) -> None:
    text = kept(store, expires_at=T0 + timedelta(seconds=1))
    assert keyring.authenticate(text)
    watch.pass_(1)
    assert keyring.authenticate(text) is None
    assert store.reads == 1


def test_the_first_key_counts_within_two_seconds_and_a_revoked_one_still_does(
    store: Store, keyring: Keyring, watch: Watch
) -> None:
    assert not keyring.in_use()
    id = parts(kept(store))[0]
    watch.pass_(FRESH_SECONDS)
    assert keyring.in_use()
    store.keys[id] = replace(store.keys[id], revoked_at=T0)
    watch.pass_(FRESH_SECONDS)
    assert keyring.in_use()


def test_the_last_use_is_kept_to_the_minute_and_never_stands_in_the_way(
    store: Store, keyring: Keyring, watch: Watch
) -> None:
    text = kept(store)
    for _ in range(61):
        assert keyring.authenticate(text)
        watch.pass_(1)
    assert len(store.uses) == 2
    store.away = True
    watch.pass_(60)
    assert keyring.authenticate(text)


def test_while_one_thread_looks_again_the_others_go_on_but_not_for_long(watch: Watch) -> None:
    values, reached, let_go = iter(["old", "new", "newest"]), threading.Event(), threading.Event()

    def look() -> str:
        value = next(values)
        if value == "new":
            reached.set()
            let_go.wait(20)
        return value

    remembered = Remembered(look, watch)
    assert remembered() == "old"
    watch.pass_(FRESH_SECONDS)
    looking = threading.Thread(target=remembered)
    looking.start()
    assert reached.wait(20)
    watch.pass_(STALE_SECONDS - FRESH_SECONDS - 0.1)
    assert remembered() == "old"
    watch.pass_(0.1)
    assert remembered() == "newest"  # the old one is too old: it looks itself
    let_go.set()
    looking.join(20)
    assert remembered() == "newest"  # and what took so long does not come back over it


# Those who show wrong ones


class Kept:
    """An audit that is a list, and may be away."""

    def __init__(self) -> None:
        self.records: list[tuple[str, str, str]] = []
        self.away = False

    def record(self, by: str, action: str, target: str, facts: Any, /) -> None:
        if self.away:
            raise QueueUnavailable
        self.records.append((by, action, target))


@pytest.fixture
def audit() -> Kept:
    return Kept()


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def strangers(watch: Watch, audit: Kept, heard: list[str]) -> Strangers:
    return Strangers(Events(lambda event: heard.append(event.name)), audit, watch)


def test_an_address_that_shows_many_wrong_keys_is_told_to_wait_and_others_are_not(
    strangers: Strangers, watch: Watch
) -> None:
    assert [strangers.wait_seconds("far") for _ in range(BURST)] == [0] * BURST
    assert strangers.wait_seconds("far") == 6
    assert strangers.wait_seconds("near") == 0
    watch.pass_(REFILL_SECONDS)
    assert strangers.wait_seconds("far") > 0  # it went on meanwhile
    watch.pass_(3 * REFILL_SECONDS)
    assert strangers.wait_seconds("far") == 0


def test_several_processes_of_a_door_allow_together_what_one_would(watch: Watch) -> None:
    several = [Strangers(Events(), None, watch, processes=2) for _ in range(2)]
    answered = [sum(one.wait_seconds("far") == 0 for _ in range(100)) for one in several]
    assert sum(answered) == BURST
    watch.pass_(3 * REFILL_SECONDS)
    assert [sum(one.wait_seconds("far") == 0 for _ in range(100)) for one in several] == [0, 0]
    watch.pass_(4 * REFILL_SECONDS)
    assert sum(one.wait_seconds("far") == 0 for one in several for _ in range(100)) <= 4


def test_what_is_told_to_wait_is_never_more_than_a_few_seconds(strangers: Strangers) -> None:
    assert max(strangers.wait_seconds("far") for _ in range(1000)) <= 2 * REFILL_SECONDS


def test_the_audit_tells_of_an_address_once_a_minute(
    strangers: Strangers, audit: Kept, watch: Watch, heard: list[str]
) -> None:
    for _ in range(100):
        strangers.wait_seconds("far")
    assert audit.records == [("nobody", "key.refused", "far")]
    watch.pass_(60)
    audit.away = True
    assert strangers.wait_seconds("far") == 0
    assert heard == ["key.refused", "key.refused", "audit.failed"]


def test_however_many_addresses_come_only_so_many_are_remembered(strangers: Strangers) -> None:
    for number in range(ADDRESSES + 5):
        strangers.wait_seconds(str(number))
    assert len(strangers._debts) == len(strangers._told) == ADDRESSES


def test_a_good_key_passes_from_an_address_that_showed_many_wrong_ones(
    store: Store, keyring: Keyring, strangers: Strangers
) -> None:
    guard, text = Guard(keyring, strangers, loopback=True), kept(store)
    codes = []
    for _ in range(BURST + 1):
        with pytest.raises(SubmissionRefused) as refused:
            guard.recognised("tq_wrong", "far")
        codes.append((refused.value.status, refused.value.code))
    assert codes == [(401, "unauthorized")] * BURST + [(429, "too_many_wrong_keys")]
    assert guard.recognised(text, "far").submitter == "ann"


# Whether one is needed


@pytest.mark.parametrize(("loopback", "keys", "wants"), [(True, 0, False), (True, 1, True), (False, 0, True)])
def test_a_key_is_needed_from_the_first_one_on_and_always_where_others_can_reach_the_door(
    store: Store, keyring: Keyring, strangers: Strangers, loopback: bool, keys: int, wants: bool
) -> None:
    for _ in range(keys):
        kept(store)
    assert Guard(keyring, strangers, loopback=loopback).wants_key() is wants


def test_a_door_that_others_can_reach_is_not_opened_without_keys(store: Store) -> None:
    require_keys(store, "127.0.0.1", loopback=True)
    with pytest.raises(KeysMissing, match=r"0\.0\.0\.0.*transqueue keys create"):
        require_keys(store, "0.0.0.0", loopback=False)
    kept(store)
    require_keys(store, "0.0.0.0", loopback=False)
