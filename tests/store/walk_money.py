"""The walk's rules about money on its way to the merchant: the carrier's files, settlement, payouts."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from msgspec.structs import replace

from gateway.core.carrier_files import Said
from gateway.core.ledger import merchant_available
from gateway.core.payment import Payment, State
from gateway.core.payouts import NotAllowed, PayoutState
from gateway.core.settling import Terms
from gateway.engine.write_offs import WriteOff
from gateway.store.balances import balances
from gateway.store.payouts import ApprovePayout, DraftPayouts, MovePayout, Payout
from gateway.store.settling import SettleMerchant
from gateway.store.terms import write_terms
from tests.store.settling_bench import a_file
from tests.store.walk_doubts import Doubts
from tests.store.walk_house import ZONE, pick
from tests.store.walk_payments import DAY_MIN, WHICH
from tests.store.walk_truth import WHOLE, Told

TERMS: Final = (
    Terms(waits={"*": 0}),
    Terms(waits={"acme": 2}, cut_off_minute=17 * 60, zone="Africa/Nairobi", minimum_minor=150_000),
    Terms(waits={}, reserve_bps=1_000, reserve_days=3),
    Terms(waits={"*": 1}, reserve_bps=333, reserve_days=10, minimum_minor=40_000),
)
FATES: Final = ("paid", "paid", "failed", "returned", "unknown", "unknown paid")
LIVE: Final = ("draft", "approved", "submitted", "unknown")
FINANCE: Final = ("amina", "walk", "joseph")
"""The one in the middle drafts, and may not approve."""


class MoneyRules(Doubts):
    """From the carrier to the merchant's bank account."""

    def __init__(self) -> None:
        super().__init__()
        self.terms = TERMS[0]
        self.open_files: list[Path] = []
        """What the carrier has paid for and the books do not agree with yet."""
        self.has_drafts = False

    @initialize(terms=st.sampled_from(TERMS))
    def there_are_terms(self, terms: Terms) -> None:
        self.the_merchant_is_paid_on(terms)

    def the_merchant_is_paid_on(self, terms: Terms) -> None:
        self.terms = replace(terms, account_name="Asha Mboga Ltd", account="DE89370400440532013000", bic="COBADEFFXXX")
        self.odd(lambda unit: write_terms(unit.conn, self.merchant, self.terms, by="sales"))

    @precondition(lambda self: self.carrier.untold)
    @rule(leaves_out=st.sampled_from([0, 0, 0, 1]))
    def carrier_tells_and_pays(self, leaves_out: int) -> None:
        """*leaves_out*: so many rows come with the next file."""
        told = self.carrier.untold[: len(self.carrier.untold) - leaves_out]
        self.carrier.untold = self.carrier.untold[len(told) :]
        path = self._write_file(told)
        if self.house.take_file(path) == "open":
            self.open_files.append(path)
        self.changed()
        self.house.claim()

    @precondition(lambda self: self.carrier.may_lose())
    @rule(which=WHICH, denies=st.booleans(), luck=st.integers(0, 3))
    def carrier_loses(self, which: int, denies: bool, luck: int) -> None:
        """Seldom: its accounts do not have what it has taken, or have it as failed."""
        if luck == 0:
            charge_id = pick(self.carrier.may_lose(), which)
            # Of an outcome that we do not know it would be believed.
            is_known = any(one.attempt_id == charge_id for one in self.those("captured"))
            self.carrier.lose(charge_id, denies=denies and is_known)

    @precondition(lambda self: self.carrier.lost)
    @rule(which=WHICH, is_found=st.booleans())
    def what_was_lost_is_given_up_or_found(self, which: int, is_found: bool) -> None:
        charge_id = pick(sorted(self.carrier.lost), which)
        if is_found:
            self.carrier.find(charge_id)
        else:
            self._look_for(charge_id)
            self._give_up(charge_id)

    def _give_up(self, charge_id: str) -> None:
        """Two persons asked the carrier. The charge goes first: before, nothing that was given back can be given up."""
        breaks = self.rows(
            'SELECT b.id, b.kind, b.amount_minor FROM "break" b JOIN attempt a ON a.payment_id = b.payment_id'
            " AND b.detail LIKE '% ' || a.id || '%' WHERE a.charge_attempt_id = :charge AND b.resolved_at_ms IS NULL"
            " AND b.kind IN ('missing_at_carrier', 'status') ORDER BY b.amount_minor DESC, b.id",
            charge=charge_id,
        )
        for row in breaks:
            try:
                for by in FINANCE[::2]:
                    self.do(WriteOff(row.id, by, "it is not in their accounts"))
            except ValueError as error:  # A charge that is told to have failed is missing as well: that is one sum.
                if "owes nothing more" not in str(error):
                    raise
                self.settle_break(row.id, "what another break is about")

    def _write_file(self, told: list[Told], at_ms: int | None = None) -> Path:
        self.house.files += 1
        day = datetime.fromtimestamp((at_ms or self.house.now_ms()) / 1000, UTC).astimezone(ZONE)
        lines = [f"{row.attempt_id},{row.amount_minor},{row.said}" for row in told]
        total_minor = sum(_sign(row) * row.amount_minor for row in told)
        remitted = total_minor - self._shares(told) if self.world.is_remitted else ""
        path = self.house.folder / f"acme_{day:%Y%m%d}_{self.house.files}.csv"
        trailer = f"T,{len(told)},{total_minor},{remitted}"
        path.write_text("\n".join(["id,minor,result", *lines, trailer, ""]), encoding="utf-8")
        return path

    def _shares(self, told: list[Told]) -> int:
        """What the carrier keeps of these rows for itself: nothing of a charge that was too late, whole minor units."""
        shares_minor = 0
        of_attempt = {payment.attempt_id: payment for payment in self.mine}
        for row in told:
            payment = of_attempt.get(row.charge_id)
            if payment is not None and _is_in_time(payment):
                shares_minor += _sign(row) * row.amount_minor * self.world.share_bps // WHOLE
        return shares_minor

    @precondition(lambda self: self.those("captured", "reversed"))
    @rule(days=st.sampled_from([0, 1, 1, 3]))
    def merchant_is_settled(self, days: int) -> None:
        if days:
            self.pass_time(days * DAY_MIN)
        self.do(SettleMerchant(merchant_id=self.merchant))
        drafted = self.do(DraftPayouts(merchant_id=self.merchant, by=FINANCE[1])).applied[0].result
        assert isinstance(drafted, list)
        self.has_drafts |= bool(drafted)
        assert all(one.amount_minor >= max(1, self.terms.minimum_minor) for one in drafted), "I7: less than the minimum"
        assert not drafted or self.available_minor() >= 0, "I7: more was drafted than was available"

    def available_minor(self) -> int:
        with self.house.reads.connect() as conn:
            found = balances(conn, [merchant_available(self.merchant)], "test")
        return -sum(one.amount_minor for one in found)

    def payouts(self, *states: str) -> list[Payout]:
        rows = self.rows("SELECT * FROM payout WHERE merchant_id = :me ORDER BY id")
        return [
            Payout(**(dict(row._mapping) | {"state": PayoutState(row.state)})) for row in rows if row.state in states
        ]

    @precondition(lambda self: self.has_drafts)
    @rule(
        which=st.integers(0, 9),
        who=st.sampled_from([FINANCE, FINANCE, FINANCE, FINANCE[::-2], ()]),
        fate=st.sampled_from(FATES),
    )
    def payout_is_made(self, which: int, who: tuple[str, ...], fate: str) -> None:
        """*who* looks at it; nobody: it is cancelled."""
        found = self.payouts("draft")
        if found and not who:
            self._move(pick(found, which), PayoutState.CANCELLED)
        for by in who if found else ():
            self._approve(pick(found, which).id, by)
        self.bank_gets_a_file(fate)

    def _approve(self, payout_id: str, by: str) -> None:
        [payout] = [one for one in self.payouts(*LIVE) if one.id == payout_id]
        if payout.state is not PayoutState.DRAFT:
            return
        is_allowed = by not in (payout.drafted_by, payout.first_approval_by)
        try:
            self.do(ApprovePayout(payout_id=payout.id, by=by, account_end=payout.account[-4:]))
        except NotAllowed:
            assert not is_allowed, f"I7: {by} may approve {payout}"
        else:
            assert is_allowed, f"I7: {by} may not approve {payout}"

    def bank_gets_a_file(self, fate: str) -> None:
        """The bank does with it what *fate* says, and tells."""
        submitted = self.do(a_file()).applied[0].result
        assert isinstance(submitted, list)
        for payout in submitted:
            assert {payout.first_approval_by, payout.second_approval_by} == set(FINANCE[::2]), "I7: two approve"
            if fate.endswith("paid"):
                self.bank.pay(payout.id, payout.amount_minor)
            self._move(payout, PayoutState(fate.split(maxsplit=1)[0]))

    @precondition(lambda self: self.has_drafts)
    @rule(which=st.integers(0, 9), comes_back=st.booleans())
    def bank_says_more(self, which: int, comes_back: bool) -> None:
        """What became of a payout that nobody knew of, or that a paid one has come back."""
        found = self.payouts("unknown", *(["paid"] if comes_back else []))
        if found:
            self._hear_of(pick(found, which), comes_back=comes_back)

    def _hear_of(self, payout: Payout, *, comes_back: bool) -> None:
        is_paid = payout.id in self.bank.paid and not comes_back
        if not is_paid:
            self.bank.paid.pop(payout.id, None)
        is_known = payout.state is PayoutState.PAID
        self._move(payout, PayoutState.PAID if is_paid else PayoutState.RETURNED if is_known else PayoutState.FAILED)

    def _move(self, payout: Payout, state: PayoutState) -> None:
        job = MovePayout(payout_id=payout.id, state=state, detail="the bank")
        self.do(job, job)  # The bank may say everything twice.

    def end_the_money(self) -> None:
        """What the carrier has is told and paid, what is due is settled, and the bank says all that it knows."""
        self._all_is_told()
        for n, charge_id in enumerate(sorted(self.carrier.lost)):
            self._look_for(charge_id)
            self._give_up(charge_id)
            if (self.house.walks + n) % 2:
                self.carrier.find(charge_id)
        self._all_is_told()
        self._take_again()
        if self.open_files:
            self._write_off()
            self._take_again()
        assert not self.open_files, f"I17: the books do not agree to {self.open_files}"
        self._payouts_end()
        if not self.world.is_remitted:
            # Who waits for the carrier's money would wait for ever: another term is agreed.
            self.the_merchant_is_paid_on(replace(self.terms, waits={"*": 0}))
        self.merchant_is_settled(70)
        self._payouts_end()
        self.merchant_is_settled(70)

    def _payouts_end(self) -> None:
        if self.payouts("draft"):
            self.house.fates += 1
            self.payout_is_made(0, FINANCE, pick(FATES, self.house.fates))
        for payout in self.payouts("unknown"):
            self._hear_of(payout, comes_back=False)
        self.bank_gets_a_file("paid")  # What was approved has waited for those that were unknown.

    def _all_is_told(self) -> None:
        while self.carrier.untold:
            self.carrier_tells_and_pays(0)

    def _look_for(self, charge_id: str) -> None:
        """The files of the days that have what was lost, if none came after it."""
        ended = self.rows("SELECT ended_at_ms FROM attempt WHERE charge_attempt_id = :charge", charge=charge_id)
        for row in ended:
            if row.ended_at_ms is not None:
                self.house.take_file(self._write_file([], row.ended_at_ms))

    def _take_again(self) -> None:
        self.open_files = [path for path in self.open_files if self.house.take_file(path) == "open"]
        self.changed()

    def _write_off(self) -> None:
        """A row may leave a riddle which of two orders it is about: then two persons give up what is not paid."""
        riddles = self.rows(
            'SELECT b.id FROM "break" b JOIN payment p ON p.id = b.payment_id WHERE p.merchant_id = :me'
            " AND b.kind IN ('mismatch', 'amount', 'duplicate_charge')"
        )
        assert riddles, f"I17: nothing explains why {self.open_files} are open"
        for row in self.rows("SELECT id FROM \"break\" WHERE kind = 'remittance' AND resolved_at_ms IS NULL"):
            for by in FINANCE[::2]:
                self.do(WriteOff(row.id, by, "nobody will pay it"))


def _sign(row: Told) -> int:
    """Of what the carrier owes us for it."""
    return {Said.CHARGED: 1, Said.FAILED: 0}.get(row.said, -1)


def _is_in_time(payment: Payment) -> bool:
    """Whether what was charged for it is, or will be, the merchant's."""
    if payment.state is State.CHARGING:
        return not payment.cancel_requested
    return payment.state in (State.CAPTURING, State.CAPTURED, State.REVERSED)
