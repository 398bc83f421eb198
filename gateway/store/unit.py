"""The unit of work: what one batch has loaded and locked, what its jobs decided, and how that becomes rows.

Jobs talk to a `Unit` and never write SQL for the payment path themselves. Effects of a decision become rows of the
outbox, the feed, the ledger and so on in `gateway.store.effects`; everything is written by `flush`, one statement a
table.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import Connection, Table

from gateway.core.caps import Terms
from gateway.core.codes import key_of
from gateway.core.decide import decide, open_payment
from gateway.core.payment import DEAD_STATES, Decision, Event, Payment, Rules, SendText, State
from gateway.store import flush, load
from gateway.store.attempts import Attempts
from gateway.store.catalogue import Catalogue
from gateway.store.counters import Counters, Spender, spender
from gateway.store.disputes import Disputes
from gateway.store.effects import Effects, ask_message_id
from gateway.store.identity import new_id
from gateway.store.outbox import LanePlan, OutboxRow
from gateway.store.phone_records import Coded, PhoneRecords
from gateway.store.pushes import Pushes
from gateway.store.refunds import Refunds
from gateway.store.rows import Consumer, Key, KeyRecord, MessageRow, Phone
from gateway.store.ussd import Ussd

__all__ = ["Consumer", "Key", "KeyRecord", "MessageRow", "Move", "Needs", "Phone", "Policy", "Unit"]


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What a job wants loaded and locked before it runs."""

    phones: tuple[Phone, ...] = ()
    """Their consumers are made if missing, locked, and their waiting payments loaded."""
    consumer_ids: tuple[str, ...] = ()
    payment_ids: tuple[str, ...] = ()
    attempt_ids: tuple[str, ...] = ()
    """Orders whose payments are meant."""
    keys: tuple[Key, ...] = ()
    references: tuple[tuple[str, str, str], ...] = ()
    """(merchant, mode, reference)."""
    message_ids: tuple[tuple[str, str], ...] = ()
    """(carrier, the carrier's message id), to match receipts."""
    spenders: tuple[Spender, ...] = ()
    """Whose limits are used up."""
    sessions: tuple[tuple[str, str], ...] = ()
    """(carrier, the channel's session id) of USSD, so that those of a batch are read at once."""


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """What the composition root knows and the unit needs."""

    rules: Mapping[str, Rules]
    """By carrier."""
    lanes: LanePlan
    code_key: bytes
    """By which new payments derive their codes."""
    former_code_keys: tuple[bytes, ...] = ()
    pin_keys: tuple[bytes, ...] = ()
    """The newest first."""
    short_codes: Mapping[str, str] = {}
    """By carrier, the number that asks come from: nobody may take it for a code."""
    traces: bool = True
    """Keep what was exchanged with carriers."""
    pushing: Mapping[str, int] = {}
    """Carriers whose asks go as screens of USSD, and how long a phone has to answer one before the text, in ms."""
    terms: Mapping[str, Terms] = {}
    """By carrier, its limits and caps."""
    modes: Mapping[str, str] = {}
    """By carrier, `test` or `live`."""
    banks: Mapping[str, str] = {}
    """By carrier with files, which bank account its remittances come to."""
    names_in_files: Mapping[str, Callable[[str], tuple[str, ...]]] = {}
    """By carrier whose files call an order otherwise than our books: what they may call it."""

    def code_key_of(self, payment: Payment | Coded) -> bytes:
        return key_of((self.code_key, *self.former_code_keys), payment.code_key)


class Move(NamedTuple):
    """A payment came into a public state."""

    carrier: str
    state: str
    reason: str | None


def _move(payment: Payment) -> Move:
    return Move(payment.carrier, payment.public_state, payment.reason)


class Unit:
    """One batch's working set."""

    sessions: Collection[tuple[str, str]] = ()
    """(carrier, session id) of USSD that this batch is about."""

    def __init__(
        self, conn: Connection, policy: Policy, *, owned_epoch: Callable[[str], int | None] = lambda lane: None
    ) -> None:
        self.conn = conn
        self.policy = policy
        self.now_ms = 0
        self._owned_epoch = owned_epoch
        self.moves: list[Move] = []
        self._consumers: dict[str, Consumer] = {}
        self._by_phone: dict[Phone, Consumer] = {}
        self._shop_stops: dict[str, set[str]] = {}
        self._shop_stops_before: dict[str, frozenset[str]] = {}
        self._payments: dict[str, Payment] = {}
        self._missing: set[str] = set()
        self._waiting: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._keys: dict[Key, KeyRecord] = {}
        self._references: dict[tuple[str, str, str], str] = {}
        self._messages: dict[tuple[str, str], list[MessageRow]] = {}
        self.phones: frozenset[str] = frozenset()
        """The consumers that are locked."""
        self.created: dict[str, Payment] = {}
        self._created_of: defaultdict[str, list[str]] = defaultdict(list)
        self.released: dict[str, Payment] = {}
        """Payments that this batch ended without money, or whose money it saw go back."""
        self.unasked: set[str] = set()
        """Payments of this batch about which their phones get no text."""
        self.records = PhoneRecords(self)
        self.counters = Counters(conn, policy.terms)
        self.changed: dict[str, None] = {}
        self.annotated: dict[str, None] = {}
        self.touched: dict[str, None] = {}
        self.effects = Effects(self)
        self.refunds = Refunds(self)
        self.disputes = Disputes(self)
        self.inserts: defaultdict[Table, list[dict[str, Any]]] = defaultdict(list)  # Any: a row's columns.
        self.new_keys: dict[Key, KeyRecord] = {}
        self.outbox: dict[str, OutboxRow] = {}
        self.requeued: dict[str, OutboxRow] = {}
        self.completed: dict[str, None] = {}
        self.attempts = Attempts(self)
        self.message_states: dict[str, str] = {}
        self.message_bills: dict[str, tuple[int, str]] = {}
        """By message, segments and price as the carrier has told them since it was sent."""

    @cached_property
    def ussd(self) -> Ussd:
        return Ussd(self)

    @cached_property
    def pushes(self) -> Pushes:
        return Pushes(self)

    @cached_property
    def successors(self) -> dict[str, Consumer]:
        """New owners of numbers that had others, by id."""
        return {}

    @cached_property
    def catalogue(self) -> Catalogue:
        return Catalogue(self)

    def load(self, needs: Sequence[Needs]) -> None:
        """Load and lock what *needs* name, in the house's lock order."""
        self._keys = load.keys(self.conn, {key for need in needs for key in need.keys})
        phones = {phone for need in needs for phone in need.phones}
        consumer_ids = {consumer for need in needs for consumer in need.consumer_ids}
        for consumer in load.consumers(self.conn, phones, consumer_ids):
            self._remember(consumer)
        # Behind the locks: a stop that another process put a moment ago is seen.
        self._know_shop_stops(self._consumers)
        self.phones = frozenset(self._consumers)
        self._references = load.references(self.conn, {ref for need in needs for ref in need.references})
        self._messages = load.messages(self.conn, {ids for need in needs for ids in need.message_ids})
        self.sessions = {session for need in needs for session in need.sessions}
        payment_ids = {payment for need in needs for payment in need.payment_ids}
        payment_ids |= load.payments_of(self.conn, {attempt for need in needs for attempt in need.attempt_ids})
        for payment in load.payments(self.conn, payment_ids, set(self._consumers)):
            self._keep(payment)
        self._missing = payment_ids - self._payments.keys()
        # Read, not locked: events and texts of these payments name their phones.
        named = {payment.consumer_id for payment in self._payments.values()} - self._consumers.keys()
        for consumer in load.consumers(self.conn, set(), named, lock=False):
            self._remember(consumer)

    def hold_limits(self, needs: Sequence[Needs]) -> None:
        """Lock the counters of what *needs* name and of every payment that was loaded; the clock has been read."""
        if not self.counters.is_counting:
            return
        loaded = {spender(payment) for payment in self._payments.values()}
        self.counters.hold(loaded.union(*(need.spenders for need in needs)), self.now_ms)

    def _remember(self, consumer: Consumer) -> None:
        self._consumers[consumer.id] = consumer
        if consumer.retired_at_ms is None:
            self._by_phone[consumer.phone] = consumer

    def _keep(self, payment: Payment) -> None:
        self._payments[payment.id] = payment
        if payment.is_waiting:
            self._waiting[payment.consumer_id][payment.id] = None
        else:
            self._waiting[payment.consumer_id].pop(payment.id, None)

    def consumer(self, phone: Phone) -> Consumer:
        """The locked consumer of a phone that the job's needs named."""
        return self._by_phone[phone]

    def succeed(self, former: Consumer) -> Consumer:
        """The number of a locked consumer has a new owner from now on, of whom nothing is known."""
        former.retired_at_ms = self.now_ms
        self.touch(former)
        owner = Consumer(
            id=new_id("csm_"),
            msisdn=former.msisdn,
            mode=former.mode,
            generation=former.generation + 1,
            created_at_ms=self.now_ms,
        )
        self._remember(owner)
        self.phones |= {owner.id}
        self.successors[owner.id] = owner
        return owner

    def consumer_by_id(self, consumer_id: str) -> Consumer:
        """A consumer; not locked (and so only to be read) unless the job's needs named it."""
        consumer = self._consumers.get(consumer_id)
        if consumer is None:
            [consumer] = load.consumers(self.conn, set(), {consumer_id}, lock=False)
            self._remember(consumer)
        return consumer

    def _know_shop_stops(self, consumer_ids: Collection[str]) -> None:
        found = load.shop_stops(self.conn, consumer_ids)
        self._shop_stops |= found
        self._shop_stops_before |= {consumer_id: frozenset(shops) for consumer_id, shops in found.items()}

    def shop_stops(self, consumer_id: str) -> set[str]:
        """The merchants that this phone has stopped. Changes are written with the batch; only for a locked consumer."""
        if consumer_id not in self._shop_stops:
            self._know_shop_stops({consumer_id})
        return self._shop_stops[consumer_id]

    def is_stopped(self, consumer_id: str, merchant_id: str) -> bool:
        """Whether this phone has told this merchant, or everybody, to ask no more."""
        stopped_at_ms = self.consumer_by_id(consumer_id).stopped_at_ms
        return stopped_at_ms is not None or merchant_id in self.shop_stops(consumer_id)

    def changed_shop_stops(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """(consumer, merchant) of the stops that this batch put, and of those that it lifted."""
        now = {(consumer, merchant) for consumer, shops in self._shop_stops.items() for merchant in shops}
        before = {(consumer, merchant) for consumer, shops in self._shop_stops_before.items() for merchant in shops}
        return sorted(now - before), sorted(before - now)

    def payment(self, payment_id: str) -> Payment | None:
        """The payment, locked; None if there is none."""
        payment = self._payments.get(payment_id)
        if payment is None and payment_id not in self._missing:
            for payment in load.payments(self.conn, {payment_id}, set()):
                self._keep(payment)
        return payment

    def waiting(self, consumer_id: str) -> list[Payment]:
        """Payments of this phone that wait for its answer, oldest first."""
        return [self._payments[payment_id] for payment_id in sorted(self._waiting[consumer_id])]

    def key(self, key: Key) -> KeyRecord | None:
        """What is stored under an Idempotency-Key, also by an earlier job of this batch."""
        return self.new_keys.get(key) or self._keys.get(key)

    def live_reference(self, merchant_id: str, mode: str, reference: str) -> str | None:
        """The id of the live payment with this reference."""
        payment_id = self._references.get((merchant_id, mode, reference))
        payment = None if payment_id is None else self.payment(payment_id)
        return payment.id if payment is not None and payment.state not in DEAD_STATES else None

    def learn_reference(self, merchant_id: str, mode: str, reference: str) -> None:
        """Look up a reference that no job's needs named."""
        wanted = (merchant_id, mode, reference)
        if wanted not in self._references:
            self._references |= load.references(self.conn, {wanted})

    def messages(self, carrier: str, message_id: str) -> list[MessageRow]:
        """Sent messages that a receipt with this id may be about."""
        return self._messages.get((carrier, message_id), [])

    def know_message(self, carrier: str, message_id: str, message: MessageRow) -> None:
        """A text was sent under this id just now: its receipt may be in this very batch."""
        self._messages.setdefault((carrier, message_id), []).append(message)

    def created_of(self, consumer_id: str) -> list[Payment]:
        """The payments of this phone that this batch has made, as they are now."""
        return [self.created[payment_id] for payment_id in self._created_of[consumer_id]]

    def open(self, payment: Payment, ask: str | None) -> None:
        """Store a new payment and ask its phone (None: do not)."""
        self.created[payment.id] = payment
        self._created_of[payment.consumer_id].append(payment.id)
        self.counters.reserve(payment)
        self._keep(payment)
        if payment.reference is not None:
            self._references[payment.merchant_id, payment.mode, payment.reference] = payment.id
        self.moves.append(_move(payment))
        self._carry_out(payment, payment, open_payment(payment, ask), None)

    def decide(self, payment_id: str, event: Event) -> Decision:
        """Move a loaded payment by *event* and carry out what was decided."""
        before = self._payments[payment_id]
        decision = decide(before, event, self.policy.rules[before.carrier])
        after = decision.payment
        if after.public_state != before.public_state:
            self.moves.append(_move(after))
        if after is not before:
            self._keep(after)
            if payment_id in self.created:
                self.created[payment_id] = after
            else:
                self.changed[payment_id] = None
            if before.state not in DEAD_STATES and after.state in DEAD_STATES:
                self.released[payment_id] = after
                self.counters.release(after)
                if after.state is State.ENDED and after.order is not None:
                    self.catalogue.give_back(after.order)
        self._carry_out(before, after, decision, event)
        return decision

    def account(self, after: Payment, event: Event) -> Payment:
        """Store *after*, in which only amounts have moved, as the next version of a loaded payment; return it."""
        before = self._payments[after.id]
        version, at_ms = before.version + 1, max(event.at_ms, before.updated_at_ms)
        after = msgspec.structs.replace(after, version=version, updated_at_ms=at_ms)
        self._keep(after)
        if after.id in self.created:
            self.created[after.id] = after
        else:
            self.changed[after.id] = None
        self.effects.record_transition(before, after, event)
        return after

    def annotate(self, payment_id: str, metadata: dict[str, str]) -> None:
        """Give a loaded payment these metadata. They are its merchant's note: no event, no new version."""
        after = msgspec.structs.replace(self._payments[payment_id], metadata=metadata)
        self._keep(after)
        if payment_id in self.created:
            self.created[payment_id] = after
        else:
            self.annotated[payment_id] = None

    def _carry_out(self, before: Payment, after: Payment, decision: Decision, event: Event | None) -> None:
        # Asked first: what the transition ends, it takes out of the outbox.
        is_silent = before.state is State.CREATED and self._is_silent(before, decision)
        if event is not None and after is not before:
            self.effects.record_transition(before, after, event)
        for effect in decision.effects:
            if not (is_silent and isinstance(effect, SendText)):
                self.effects.carry_out(after, effect)

    def _is_silent(self, before: Payment, decision: Decision) -> bool:
        """Whether the phone took no asks when this one was to be sent: then it hears nothing else about it either.

        Or a shop could make it ring all the same, by taking back at once what it asks.
        """
        if not any(isinstance(effect, SendText) for effect in decision.effects):
            return False
        return self.is_barred_ask(before)

    def is_barred_ask(self, payment: Payment) -> bool:
        """Whether the ask of *payment* waits only to be found barred: its phone took none when it was written."""
        ask = ask_message_id(payment)
        row = self.outbox.get(ask)
        return bool(row.body["stopped"]) if row is not None else load.is_barred_ask(self.conn, ask)

    def put(self, table: Table, row: dict[str, Any]) -> None:
        """Insert *row* with the batch."""
        self.inserts[table].append(row)

    def fresh(self, table: Table) -> Sequence[Mapping[str, Any]]:  # Any: a row's columns.
        """Rows that earlier jobs of this batch put into *table*; a SELECT does not see them yet."""
        return self.inserts.get(table, ())

    def touch(self, consumer: Consumer) -> None:
        """The consumer's fields were changed."""
        self.touched[consumer.id] = None

    def remember_key(self, key: Key, record: KeyRecord) -> None:
        self.new_keys[key] = record

    def queue(self, row: OutboxRow) -> None:
        """Write an outbox row; it leaves after the commit."""
        if row.due_at_ms <= self.now_ms:
            row.epoch = self._owned_epoch(row.lane)
        self.outbox[row.id] = row

    def requeue(self, row: OutboxRow, *, due_at_ms: int) -> None:
        """The same row once more, later."""
        self.requeued[row.id] = msgspec.structs.replace(
            row, due_at_ms=due_at_ms, tries=row.tries + 1, epoch=None, maybe_sent=False
        )

    def complete(self, outbox_id: str) -> None:
        """The row's outcome is recorded in this batch, or it is wanted no longer."""
        if self.outbox.pop(outbox_id, None) is None:
            self.completed[outbox_id] = None

    def current(self, payment_ids: Iterable[str]) -> list[Payment]:
        return [self._payments[payment_id] for payment_id in payment_ids]

    def touched_consumers(self) -> list[Consumer]:
        """Those with a row, which has changed."""
        return [self._consumers[consumer_id] for consumer_id in self.touched if consumer_id not in self.successors]

    def flush(self) -> None:
        """Write everything, one statement a table, the feed last."""
        flush.write(self)

    def outbox_rows(self) -> list[OutboxRow]:
        """The rows that this batch wrote, for the lanes."""
        return list(self.outbox.values())
