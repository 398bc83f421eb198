"""What must hold in the walk, by the numbers I1 to I20 of its table: the books of one walk against its truth.

Whatever `verify` looks for itself is not written here once more, save where it would reckon by the rule it checks.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Final

from gateway.core import ledger
from gateway.core.decide import TABLE
from gateway.core.ledger import carrier_held, carrier_receivable, merchant_available, merchant_pending, merchant_reserve
from gateway.core.limits import begins_ms, limited, name_of
from gateway.core.payment import DEAD_STATES, FINAL_STATES, Escrow, OperationKind, Payment, State
from gateway.store.balances import balances
from gateway.store.phone_records import first_payment_id
from tests.store.walk_house import LIMITS, ZONE
from tests.store.walk_money import LIVE, MoneyRules
from tests.store.walk_truth import WHOLE

FEES: Final = (ledger.carrier_share("acme"), ledger.FEE, ledger.VAT, ledger.WITHHOLDING)
RECEIVABLE: Final = carrier_receivable("acme")
SHARE: Final = ledger.carrier_share("acme")
ACCOUNTS_ONLY: Final = {"RefundCreated", "RefundSucceeded", "RefundFailed", "DisputeOpened", "DisputeEnded"}
"""Events that move a payment's amounts and not its state."""
MOVES: Final = {(str(state), event.__name__) for state, event in TABLE}
# Of one walk: entries about its payments, and those of its settlements and payouts.
_LEGS: Final = (
    "SELECT e.id, e.kind, e.payment_id, e.source_id, l.n, l.account, l.amount_minor FROM entry e"
    " JOIN leg l ON l.entry_id = e.id WHERE e.payment_id IN (SELECT id FROM payment WHERE merchant_id = :me)"
    " OR e.source_id IN (SELECT id FROM payout WHERE merchant_id = :me)"
    " OR e.source_id IN (SELECT id FROM settlement WHERE merchant_id = :me) ORDER BY e.id, l.n"
)
_SUCCEEDED: Final = (State.CAPTURED, State.REVERSED)


class Checks(MoneyRules):
    """Each method fails with the number of what does not hold."""

    def __init__(self) -> None:
        super().__init__()
        self._seen: dict[tuple[str, ...], tuple[Any, ...]] = {}  # Any: columns.
        self._owed_before_minor = self._sum_of(RECEIVABLE)
        self._kept_before_minor = self._sum_of(SHARE)

    def check_books(self) -> None:
        """What holds between any two batches."""
        legs = self.rows(_LEGS)
        fold: Counter[str] = Counter()
        for leg in legs:
            fold[leg.account] += leg.amount_minor
        self._check_balances(fold)
        self._check_clearing(fold)
        self._check_amounts()
        self._check_steps()
        self._check_consents()
        self._check_timers()
        self._check_limits()
        self._check_rounding(legs)
        self._check_nothing_changes()

    def _check_balances(self, fold: Counter[str]) -> None:
        names = [of(self.merchant) for of in (merchant_pending, merchant_available, merchant_reserve)]
        with self.house.reads.connect() as conn:
            found = {one.account: one.amount_minor for one in balances(conn, names, "test")}
        for name in names:
            assert found.get(name, 0) == fold[name], f"I2: {name} is said to be {found.get(name, 0)}, not {fold[name]}"

    def _check_clearing(self, fold: Counter[str]) -> None:
        held = [one for one in self.mine if one.escrow is Escrow.HELD and one.state is State.CAPTURED]
        escrow = [
            one.captured_minor - one.refunded_minor - one.refund_reserved_minor - one.disputed_minor for one in held
        ]
        assert all(minor >= 0 for minor in escrow), f"I3: escrow of {min(escrow)}"
        going_back = [one.ordered_minor for one in self.mine if _does(one, OperationKind.REVERSE)]
        holds = [one.amount.amount_minor for one in self.mine if one.funds_held or _does(one, OperationKind.RELEASE)]
        open_refunds = self._sum("refund", "state IN ('pending', 'processing')")
        open_disputes = self._sum("dispute", "state IN ('open', 'under_review')")
        payouts = sum(payout.amount_minor for payout in self.payouts(*LIVE))
        self._must_be("I3", -fold[ledger.ESCROW], sum(escrow))
        self._must_be("I4", -fold[ledger.REFUND_CLEARING], open_refunds)
        self._must_be("I5", -fold[ledger.DISPUTE_HELD], open_disputes)
        self._must_be("I6", -fold[ledger.SUSPENSE], sum(going_back))
        self._must_be("I7", -fold[ledger.PAYOUT_IN_TRANSIT], payouts)
        self._must_be("I8", fold[carrier_held("acme")], sum(holds))

    def _must_be(self, number: str, said: int, wanted: int) -> None:
        assert said == wanted, f"{number}: the account says {said}, and there is {wanted}"

    def _sum(self, table: str, condition: str) -> int:
        statement = f"SELECT coalesce(sum(amount_minor), 0) AS n FROM {table} WHERE merchant_id = :me AND {condition}"  # noqa: S608
        return int(self.rows(statement)[0].n)

    def _check_amounts(self) -> None:
        by_payment = {payment.id: payment for payment in self.mine}
        refunds = self.rows("SELECT payment_id, state, amount_minor FROM refund WHERE merchant_id = :me")
        reserved, refunded = Counter[str](), Counter[str]()
        for row in refunds:
            of = refunded if row.state == "succeeded" else reserved
            of[row.payment_id] += 0 if row.state == "failed" else row.amount_minor
        for payment in by_payment.values():
            gone = payment.refunded_minor + payment.refund_reserved_minor + payment.disputed_minor
            assert gone <= payment.captured_minor <= payment.amount.amount_minor, f"I9: {payment}"
            assert payment.refunded_minor == refunded[payment.id], f"I9: {payment.id} was refunded otherwise"
            assert payment.refund_reserved_minor == reserved[payment.id], f"I9: {payment.id} reserves otherwise"

    def _check_steps(self) -> None:
        steps = self.rows(
            "SELECT t.* FROM transition t JOIN payment p ON p.id = t.payment_id WHERE p.merchant_id = :me"
            " ORDER BY t.payment_id, t.version"
        )
        told = self.rows("SELECT seq, type, payment_id FROM event WHERE merchant_id = :me ORDER BY seq")
        assert [row.seq for row in told] == list(range(1, len(told) + 1)), "I20: the feed has a hole"
        of_payment: defaultdict[str, list[Any]] = defaultdict(list)  # Any: rows.
        for row in steps:
            of_payment[row.payment_id].append(row)
            is_known = (row.from_state, row.event) in MOVES
            is_same = row.from_state == row.to_state and row.event in ACCOUNTS_ONLY
            assert is_known or is_same, f"I12: {row.event} while {row.from_state} is in no table"
        events = Counter((row.payment_id, row.type) for row in told)
        for payment in self.mine:
            versions = [row.version for row in of_payment[payment.id]]
            assert versions == list(range(2, payment.version + 1)), f"I12: versions {versions} of {payment.id}"
            self._check_told(payment, of_payment[payment.id], events)

    def _check_told(
        self, payment: Payment, steps: Iterable[Any], events: Counter[tuple[str, str]]
    ) -> None:  # Any: rows.
        # The first yes of two permits nothing, and nobody is told.
        nothing_yet = (State.ENDED, State.AWAITING_CONSENT)
        confirmed = [row for row in steps if row.event == "ReplyConfirmed" and row.to_state not in nothing_yet]
        wanted = {
            "created": 1,
            "confirmed": len(confirmed),
            "succeeded": int(payment.state in _SUCCEEDED),
            "failed": int(payment.state is State.ENDED),
            "reversed": int(payment.state is State.REVERSED),
            "fulfilled": int(payment.fulfilled_at_ms is not None),
        }
        said = {kind: events[payment.id, f"payment.{kind}"] for kind in wanted}
        assert said == wanted, f"I12: the feed tells {said} of {payment.id}, and it was {wanted}"

    def _check_consents(self) -> None:
        wrong = self.rows(
            "SELECT a.id FROM attempt a JOIN payment p ON p.id = a.payment_id LEFT JOIN consent c"
            " ON c.attempt_id = a.id AND c.merchant_id = p.merchant_id AND c.consumer_id = p.consumer_id"
            " AND c.amount_minor = p.amount_minor AND c.currency = p.currency AND c.at_ms <= a.created_at_ms"
            " WHERE p.merchant_id = :me AND a.kind IN ('charge', 'reserve') AND c.attempt_id IS NULL"
        )
        assert not wrong, f"I16: nobody consented to {wrong}"
        first = self.rows(
            "SELECT a.id FROM attempt a JOIN payment p ON p.id = a.payment_id JOIN consent c ON c.attempt_id = a.id"
            " LEFT JOIN consent f ON f.attempt_id = c.follows AND f.payment_id = c.payment_id"
            " AND f.amount_minor = c.amount_minor WHERE p.merchant_id = :me AND f.attempt_id IS NULL"
        )
        assert not first or self.carrier.yeses == 1, f"I16: nobody consented twice to {first}"

    def _check_timers(self) -> None:
        orders = {
            row.payment_id
            for row in self.rows(
                "SELECT DISTINCT o.payment_id FROM outbox o JOIN payment p ON p.id = o.payment_id"
                " WHERE p.merchant_id = :me AND o.kind <> 'sms'"
            )
        }
        for payment in self.mine:
            is_escrowed = payment.escrow is Escrow.HELD and payment.state is State.CAPTURED
            runs = payment.operation is not None or payment.refund_reserved_minor > 0
            if runs:
                is_alive = payment.id in orders or "reversal_declined" in self.breaks_of(payment)
            elif payment.state not in FINAL_STATES or is_escrowed:
                is_alive = payment.deadline_at_ms is not None or payment.disputed_minor > 0
                # Escrow that the carrier would not give back: a person pays it out.
                is_alive = is_alive or "not_carried_out" in self.breaks_of(payment)
            else:
                continue
            assert is_alive, f"I14: nothing will wake {payment}"

    def breaks_of(self, payment: Payment) -> list[str]:
        return [row.kind for row in self.rows('SELECT kind FROM "break" WHERE payment_id = :id', id=payment.id)]

    def _check_limits(self) -> None:
        now_ms = self.house.now_ms()
        for scope, period, most in limited(LIMITS, "merchant", "carrier"):
            name = name_of(period, now_ms, ZONE)
            subject = "acme" if scope == "carrier" else f"{self.merchant}/acme"
            counters = self.rows(
                "SELECT count, amount_minor FROM limit_counter WHERE scope = :scope AND subject = :subject"
                " AND period = :name",
                scope=scope,
                subject=subject,
                name=name,
            )
            if not counters:
                continue
            [used] = self.rows(
                "SELECT count(*) AS n, coalesce(sum(amount_minor), 0) AS minor FROM payment"
                " WHERE state NOT IN ('ended', 'reversed') AND id > :first AND created_at_ms >= :begins"
                " AND (:scope = 'carrier' OR merchant_id = :me)",
                scope=scope,
                first=first_payment_id(begins_ms(period, now_ms, ZONE)),
                begins=begins_ms(period, now_ms, ZONE),
            )
            counted, fold = tuple(counters[0]), (used.n, int(used.minor))
            assert counted == fold, f"I15: {scope} {name} counts {counted}, and its payments are {fold}"
            for limit, use in zip(most, fold, strict=True):
                assert not 0 < limit < use, f"I15: {scope} {name} has used {use} of {limit}"
        self._check_phones(begins_ms("day", now_ms, ZONE))

    def _check_phones(self, since_ms: int) -> None:
        alive = [one for one in self.mine if one.state not in DEAD_STATES and one.created_at_ms >= since_ms]
        for phone, used in Counter(one.consumer_id for one in alive).items():
            assert used <= LIMITS.phone_day_count, f"I15: {phone} has {used} payments today"

    def _check_rounding(self, legs: Iterable[Any]) -> None:  # Any: rows.
        entries: defaultdict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
        for leg in legs:
            entries[leg.payment_id, leg.kind, leg.id][leg.account] -= leg.amount_minor
        taken: dict[str, tuple[int, tuple[int, ...]]] = {}
        given_back: defaultdict[str, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
        for (payment_id, kind, entry_id), accounts in entries.items():
            assert sum(accounts.values()) == 0, f"I1: {entry_id} does not sum to zero"
            parts = tuple(accounts[name] for name in FEES)
            if kind == "escrow_released" or (kind == "capture" and not accounts[ledger.ESCROW]):
                base_minor = accounts[merchant_pending(self.merchant)] + sum(parts)
                assert parts == self._fees_on(base_minor), f"I18: {entry_id} takes {parts} of {base_minor}"
                taken[payment_id] = base_minor, parts
            elif payment_id and not kind.startswith("write_off"):  # What we lose of it moves nothing of the merchant's.
                given_back[payment_id] = [sum(pair) for pair in zip(given_back[payment_id], parts, strict=True)]
        for payment in self.mine:
            self._check_returned(payment, taken.get(payment.id), [-part for part in given_back[payment.id]])
        self._check_reserves()

    def _fees_on(self, minor: int) -> tuple[int, ...]:
        """By hand: shares and fees round down, taxes to the even one."""
        rates = self.world.rates
        if rates is None:
            return (0, 0, 0, 0)
        tier = next(tier for tier in rates.tiers if tier.up_to_minor == 0 or minor <= tier.up_to_minor)
        share = int(Fraction(minor * rates.carrier_share_basis_points, WHOLE))
        fee = max(tier.min_minor, tier.fixed_minor + int(Fraction(minor * tier.basis_points, WHOLE)))
        # As much as is left, its tax included.
        fee = min(fee, int(Fraction((minor - share) * WHOLE, WHOLE + rates.vat_basis_points)))
        vat = round(Fraction(fee * rates.vat_basis_points, WHOLE))
        return share, fee, vat, round(Fraction((minor - share - fee - vat) * rates.withholding_basis_points, WHOLE))

    def _check_returned(
        self, payment: Payment, taken: tuple[int, tuple[int, ...]] | None, given_back: list[int]
    ) -> None:
        if taken is None or self.world.rates is None:
            assert not any(given_back), f"I18: {payment.id} gives back {given_back} of nothing"
            return
        returned = self.world.rates.returned
        is_returned = ("carrier_share" in returned, "fee" in returned, "fee" in returned, "withholding" in returned)
        for part, back, wanted in zip(taken[1], given_back, is_returned, strict=True):
            assert 0 <= back <= (part if wanted else 0), f"I18: {payment.id} gives back {back} of {part}"
            if wanted and payment.capture != "escrow" and payment.state is State.CAPTURED:
                gone = Fraction(part * payment.refunded_minor, payment.captured_minor)
                assert back == int(gone), f"I18: {payment.id} gives back {back}, not {gone} of {part}"

    def _check_reserves(self) -> None:
        for row in self.rows("SELECT id, net_minor, reserve_minor FROM settlement WHERE merchant_id = :me"):
            kept = int(Fraction(max(0, row.net_minor) * self.terms.reserve_bps, WHOLE))
            assert row.reserve_minor == kept, f"I18: {row.id} keeps {row.reserve_minor} of {row.net_minor}, not {kept}"

    def _check_nothing_changes(self) -> None:
        for table, key, condition in _KEPT:
            rows = self.rows(f"SELECT * FROM {table} WHERE {condition}")  # noqa: S608
            now = {(table, *(str(getattr(row, name)) for name in key)): tuple(row) for row in rows}
            for name, before in self._seen.items():
                assert name[0] != table or now.get(name) == before, f"I13: {name} was {before} and is {now.get(name)}"
            self._seen |= now

    def check_end(self) -> None:
        """What holds once everything has come to its end."""
        self.check_books()
        self._check_phones_paid_what_the_books_say()
        self._check_carrier_owes_what_it_has()
        self._check_merchant_has_what_is_due()
        for job, body in self.answered:
            self._must_repeat(body, [self.do(job).applied[0].result])

    def _check_phones_paid_what_the_books_say(self) -> None:
        for payment in self.mine:
            untold = self._never_told(payment)
            kept = self.carrier.kept_minor(payment.ref) - sum(self.carrier.orders[one].kept_minor for one in untold)
            wanted = payment.captured_minor - payment.refunded_minor if payment.state is State.CAPTURED else 0
            # What the carrier was told to give back, and would not: a break says so.
            going_back = payment.ordered_minor if _does(payment, OperationKind.REVERSE) else 0
            assert not going_back or "reversal_declined" in self.breaks_of(payment), f"I14: {payment.id} waits for ever"
            assert kept == wanted + going_back, (
                f"I9: {payment.id} is {payment.state}, and the phone paid {kept}, not {wanted} + {going_back};"
                f" {self.breaks_of(payment)}"
            )
            told = [one for charge_id, one in self.carrier.orders.items() if charge_id not in untold]
            live = [one for one in told if one.ref == payment.ref and one.kept_minor]
            assert len(live) <= (wanted > 0) + (going_back > 0), f"I11: {payment.id} was charged {len(live)} times"

    def _never_told(self, payment: Payment) -> list[str]:
        """Charges that the carrier declined, made after all and lost again: it called, and a break says so."""
        statement = "SELECT id FROM attempt WHERE payment_id = :payment AND status = 'failed'"
        found = [row.id for row in self.rows(statement, payment=payment.id) if row.id in self.carrier.lost]
        assert not found or "unknown_outcome" in self.breaks_of(payment), f"I14: nobody looks at {payment.id}"
        return found

    def _sum_of(self, account: str) -> int:
        with self.house.reads.connect() as conn:
            return sum(one.amount_minor for one in balances(conn, [account], "test"))

    def _check_carrier_owes_what_it_has(self) -> None:
        orders = self.carrier.orders.items()
        # What it does not have in its accounts was given up.
        kept_minor = sum(order.kept_minor for charge_id, order in orders if charge_id not in self.carrier.lost)
        owed_minor = self._sum_of(RECEIVABLE) - self._owed_before_minor
        self._must_be("I17", owed_minor, 0 if self.world.is_remitted else kept_minor)
        if self.world.is_remitted:
            self._must_be("I17: share", self._sum_of(SHARE) - self._kept_before_minor, self._kept_early_minor())

    def _kept_early_minor(self) -> int:
        """What the carrier has kept of escrow that is not released: a person pays that out."""
        held = [one for one in self.mine if one.escrow is Escrow.HELD and one.state is State.CAPTURED]
        return sum((one.captured_minor - one.refunded_minor) * self.world.share_bps // WHOLE for one in held)

    def _check_merchant_has_what_is_due(self) -> None:
        """Settled once and paid once, whatever came back in between."""
        due: Counter[str] = Counter()
        for leg in self.rows(_LEGS):
            due[leg.account] += leg.amount_minor if leg.payment_id else 0
        own = (merchant_pending, merchant_reserve, merchant_available)
        with self.house.reads.connect() as conn:
            found = {
                one.account: -one.amount_minor for one in balances(conn, [of(self.merchant) for of in own], "test")
            }
        pending, reserve, available = (found.get(of(self.merchant), 0) for of in own)
        self._must_be("I7: pending", pending, 0)
        self._must_be("I7: reserve", reserve, 0)
        in_transit = sum(payout.amount_minor for payout in self.payouts(*LIVE))
        earned = -due[merchant_pending(self.merchant)]
        self._must_be("I7: available", available, earned - in_transit - sum(self.bank.paid.values()))


def _does(payment: Payment, kind: OperationKind) -> bool:
    return payment.operation is not None and payment.operation.kind is kind


_MY_PAYMENTS: Final = "payment_id IN (SELECT id FROM payment WHERE merchant_id = :me)"
# (table, its key, which rows are the walk's)
_KEPT: Final = (
    ("entry", ("id",), _MY_PAYMENTS),
    ("leg", ("entry_id", "n"), f"entry_id IN (SELECT id FROM entry WHERE {_MY_PAYMENTS})"),  # noqa: S608
    ("transition", ("payment_id", "version"), _MY_PAYMENTS),
    ("consent", ("attempt_id",), "merchant_id = :me"),
    ("event", ("id",), "merchant_id = :me"),
)
