"""The walk's rules about payments: what merchants, phones, the carrier and the clock do, and a process that dies."""

from dataclasses import replace
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from carriers import base
from gateway.core.codes import choose_code
from gateway.core.dispute import Act
from gateway.core.money import Money
from gateway.core.payment import Capture, ChargeTakenBack, Payment, Rules
from gateway.engine.carrier_jobs import CallbackRead, DeadlineReached, TextDone
from gateway.engine.dispute_jobs import DecideDispute, answer_missed
from gateway.engine.merchant_jobs import (
    Answer,
    CancelPayment,
    CapturePayment,
    ChangePayment,
    CreatePayment,
    FulfilPayment,
    Problem,
)
from gateway.engine.refund_jobs import CreateRefund
from gateway.engine.sim_checks import SimDone
from gateway.store.apply import Job
from gateway.store.fee_schedules import add_schedule
from gateway.store.outbox import OutboxRow
from gateway.store.unit import Needs
from tests.store.bench import CODE_KEY, Odd, a_create, a_text
from tests.store.walk_house import RULES, WORLDS, Story, World, pick
from tests.store.walk_truth import MOODS, Carrier, Mood, Sims

PHONES: Final = ("+254700000001", "+254700000002", "+254700000003")
WAITING: Final = ("created", "awaiting_consent")
DAY_MIN: Final = 24 * 60
WHICH: Final = st.integers(0, 9)
SENT: Final = base.Submitted(message_ids=("m",), segments=1)
SIM_WORDS: Final = (
    *(base.SimSettled(), base.SimSettled(), base.SimFresh()),
    *(base.SimUnknown(detail="busy"), base.SimUnknown(detail="no", retryable=False)),
)
_OPEN_DISPUTES: Final = "SELECT id FROM dispute WHERE state IN ('open', 'under_review') AND merchant_id = :me"
REFUSED: Final = base.Refused(code="11", detail="no such number", retryable=False)


class PaymentRules(Story):
    """From the request to the money, and back."""

    def __init__(self) -> None:
        super().__init__()
        self.answered: list[tuple[CreatePayment | CreateRefund, bytes]] = []
        """What was asked under an Idempotency-Key, and the answer."""

    @initialize(world=st.sampled_from(WORLDS), client_keyed=st.booleans(), rules=st.sampled_from(RULES))
    def the_world_is(self, world: World, client_keyed: bool, rules: Rules) -> None:
        self.world = world
        self.carrier = Carrier(self.is_kept, client_keyed=client_keyed)
        self.carrier.yeses = 2 if rules.opt_in == "twice" else 1
        self.carrier.sims = Sims(rules.sim)
        self.house.go_by(rules)
        schedule = self.house.schedule(world.rates)
        if schedule is not None:
            self.fee_schedule = self.odd(lambda unit: add_schedule(unit.conn, schedule, unit.now_ms)).id

    def _key(self) -> str:
        self.keys += 1
        return f"k-{self.keys}"

    @rule(
        capture=st.sampled_from([Capture.AUTOMATIC, Capture.MANUAL, Capture.ESCROW]),
        phone=st.sampled_from(PHONES),
        price=WHICH,
        twins=st.sampled_from([1, 1, 1, 3]),
        goes=st.sampled_from(["all the way", "all the way", "on", "on", "nowhere", "twice"]),
    )
    def merchant_asks(self, capture: Capture, phone: str, price: int, twins: int, goes: str) -> None:
        amount = Money(pick(self.world.prices_minor, price), "KES")
        job = a_create(
            self._key(),
            merchant_id=self.merchant,
            amount=amount,
            capture=capture,
            msisdn=phone,
            fee_schedule=self.fee_schedule,
        )
        before = len(self.mine)
        self._ask_once(job, twins)
        assert len(self.mine) == before + 1, f"I19: {twins} twins made {len(self.mine) - before} payments"
        payment = self.mine[-1]
        self.carrier.asked[payment.ref] = amount
        if goes != "nowhere":
            self._agree(payment.id)
        if goes == "all the way":
            self._let_through(payment.id)
            self._send_all(payment.id, "yes")
        if goes == "twice":
            self._go_twice(payment.id)

    def _go_twice(self, payment_id: str) -> None:
        """Declined for funds, and charged by a second consent; then the carrier takes what it had declined as well."""
        self._let_through(payment_id)
        self._send_all(payment_id, "low")
        payment = self._now(payment_id)
        if payment.state in WAITING and payment.attempt_id is not None:
            self._agree(payment_id)
            self._let_through(payment_id)
            self._send_all(payment_id, "yes")
            self.carrier.end_late(payment.attempt_id)
            self._call_back(payment.attempt_id)

    def _now(self, payment_id: str) -> Payment:
        [payment] = [one for one in self.mine if one.id == payment_id]
        return payment

    def _agree(self, payment_id: str) -> None:
        """Say yes, as often as it takes."""
        for _ in range(self.carrier.yeses):
            payment = self._now(payment_id)
            if payment.state in WAITING:
                self._say_yes(payment)

    def _let_through(self, payment_id: str) -> None:
        for row in self.sim_questions:
            if row.payment_id == payment_id:
                self.sim_is(row, base.SimSettled())

    def sim_is(self, row: OutboxRow, word: base.SimResult) -> None:
        """The carrier tells how old the SIM is that *row* asks for."""
        self.done(row, SimDone(row, self.carrier.sims.tell(row.body["attempt_id"], word)))

    @precondition(lambda self: self.sim_questions)
    @rule(which=WHICH, word=st.sampled_from(SIM_WORDS), is_heard=st.sampled_from([True, True, True, False]))
    def carrier_tells_how_old_a_sim_is(self, which: int, word: base.SimResult, is_heard: bool) -> None:
        """What is not heard is lost with the process."""
        row = pick(self.sim_questions, which)
        if is_heard:
            self.sim_is(row, word)
        else:
            self.house.do_in_vain(SimDone(row, self.carrier.sims.tell(row.body["attempt_id"], word)))
            self.house.die()

    def _ask_once(self, job: CreatePayment | CreateRefund, twins: int) -> None:
        """*twins* of it in one batch, with one of another body among them: one answer, and no more."""
        jobs: list[Job] = [*[job] * twins, replace(job, body_hash="another")]
        results = [one.result for one in self.do(*jobs).applied]
        first = results[0]
        if isinstance(first, Problem):
            return  # Nothing was made, so there is nothing to repeat.
        assert isinstance(first, Answer)
        self._must_repeat(first.body, results[:-1])
        refused = results[-1]
        assert isinstance(refused, Problem) and refused.code == "idempotency_mismatch", f"I19: {refused}"
        self.answered.append((job, first.body))

    def _must_repeat(self, body: bytes, results: list[Any]) -> None:  # Any: whatever the jobs gave.
        for result in results:
            assert isinstance(result, Answer) and result.body == body, f"I19: {result} in place of {body!r}"

    @precondition(lambda self: self.those(*WAITING, "checking"))
    @rule(which=WHICH, word=st.sampled_from(["code", "code", "code", "first code", "0", "1234"]))
    def phone_answers(self, which: int, word: str) -> None:
        """*first code*: the one that it has said before, if it is asked twice."""
        payment = pick(self.those(*WAITING, "checking"), which)
        if word == "code" and payment.state in WAITING:
            self._say_yes(payment)
        elif word in ("code", "first code"):
            first = None if payment.stage is None else payment.stage.first_code_n
            said_n = first if payment.state in WAITING else payment.code_n
            if said_n is not None:
                self._text(payment, self._code(payment, said_n))
        else:
            self._text(payment, word)

    def _say_yes(self, payment: Payment) -> None:
        self.carrier.consents[payment.ref] += 1
        self._text(payment, self._code(payment, payment.code_n))

    def _code(self, payment: Payment, n: int) -> str:
        return choose_code(CODE_KEY, payment.id, payment.code_digits, (), n)[0]

    def _text(self, payment: Payment, words: str) -> None:
        [phone] = self.rows("SELECT msisdn FROM consumer WHERE id = :id", id=payment.consumer_id)
        job = a_text(words, msisdn=phone.msisdn, read_at_ms=self.house.now_ms())
        job.keywords = self.house.keywords
        self.do(job)

    @precondition(lambda self: self.those("captured"))
    @rule(which=WHICH, words=st.sampled_from(["OK", "DISPUTE"]))
    def buyer_has_the_goods_or_not(self, which: int, words: str) -> None:
        payment = pick(self.those("captured"), which)
        self._text(payment, f"{words} {payment.ref}")

    @property
    def disputes(self) -> list[str]:
        return [row.id for row in self.rows(_OPEN_DISPUTES + " ORDER BY id")]

    @precondition(lambda self: any(payment.disputed_minor for payment in self.mine))
    @rule(which=WHICH, act=st.sampled_from([Act.ANSWER, Act.ACCEPT, Act.WIN, Act.LOSE, Act.LOSE]))
    def dispute_is_decided(self, which: int, act: Act) -> None:
        self.do(DecideDispute(dispute_id=pick(self.disputes, which), done=act))

    @precondition(lambda self: self.mine)
    @rule(which=WHICH, kind=st.sampled_from([CapturePayment, CancelPayment, FulfilPayment, FulfilPayment]))
    def merchant_changes(self, which: int, kind: type[ChangePayment]) -> None:
        self._change(pick(self.mine, which), kind)

    @precondition(lambda self: self.those("authorized"))
    @rule(which=WHICH, part=st.sampled_from([None, None, 0, 1, 2, 3]))
    def merchant_captures(self, which: int, part: int | None) -> None:
        minor = None if part is None else pick(self.world.parts_minor, part)
        self._change(pick(self.those("authorized"), which), CapturePayment, amount_minor=minor)

    def _change(self, payment: Payment, kind: type[ChangePayment], **words: Any) -> None:  # Any: fields of the job.
        self.do(kind(merchant_id=self.merchant, mode="test", payment_id=payment.id, key=None, body_hash="", **words))

    @precondition(lambda self: self.those("captured"))
    @rule(
        which=WHICH,
        part=st.sampled_from([None, 0, 1, 2, 3]),
        twins=st.sampled_from([1, 1, 2]),
        mood=st.sampled_from([None, None, "yes", "no"]),
    )
    def merchant_refunds(self, which: int, part: int | None, twins: int, mood: Mood | None) -> None:
        """*mood*: of the carrier, if it is told at once."""
        payment = pick(self.those("captured"), which)
        self._refund(payment, part, twins)
        if mood is not None:
            self._send_all(payment.id, mood)

    def _refund(self, payment: Payment, part: int | None, twins: int = 1) -> None:
        job = CreateRefund(
            merchant_id=self.merchant,
            mode="test",
            payment_id=payment.id,
            amount_minor=None if part is None else pick(self.world.parts_minor, part),
            reason="",
            key=self._key(),
            body_hash="a hash",
        )
        self._ask_once(job, twins)

    @precondition(lambda self: self.those("captured"))
    @rule(which=WHICH, part=WHICH, act=st.sampled_from([Act.WIN, Act.LOSE]), mood=st.sampled_from(["no", "yes"]))
    def dispute_ends_before_a_refund(self, which: int, part: int, act: Act, mood: Mood) -> None:
        payment = pick(self.those("captured"), which)
        self._refund(payment, part)
        self._text(payment, f"DISPUTE {payment.ref}")
        for row in self.rows(_OPEN_DISPUTES + " AND payment_id = :payment", payment=payment.id):
            self.do(DecideDispute(dispute_id=row.id, done=act))
        self._send_all(payment.id, mood)

    def _send_all(self, payment_id: str, mood: Mood) -> None:
        for row in [row for row in self.orders if row.payment_id == payment_id]:
            self.done(row, self.tell_the_biller(row, mood))

    @precondition(lambda self: self.house.lanes)
    @rule(is_sent=st.sampled_from([True, True, True, False]))
    def texts_leave(self, is_sent: bool) -> None:
        texts = [row for row in self.house.lanes.values() if row.kind == "sms"]
        for row in texts:
            del self.house.lanes[row.id]
        self.do(*(TextDone(row, SENT if is_sent else REFUSED) for row in texts))

    @precondition(lambda self: self.orders)
    @rule(which=WHICH, mood=st.sampled_from(MOODS))
    def order_leaves(self, which: int, mood: Mood) -> None:
        row = pick(self.orders, which)
        self.done(row, self.tell_the_biller(row, mood))

    @precondition(lambda self: self.orders)
    @rule(which=WHICH, mood=st.sampled_from(MOODS), dies=st.booleans())
    def answer_is_lost(self, which: int, mood: Mood, dies: bool) -> None:
        """I20: the biller was told, and its answer never comes to the books: the process dies, or only the commit."""
        row = pick(self.orders, which)
        job = self.tell_the_biller(row, mood)
        self.house.do_in_vain(job)
        if dies:
            self.house.die()
        else:
            self.done(row, job)

    @rule(
        minutes=st.sampled_from([1, 1, 1, 1, 5, 30, DAY_MIN, DAY_MIN, 15 * DAY_MIN]),
        dies=st.sampled_from([False, False, False, True]),
    )
    def time_passes(self, minutes: int, dies: bool) -> None:
        self.pass_time(minutes)
        if dies:
            self.house.die()

    def pass_time(self, minutes: int) -> None:
        """Timers ring for whom it is time, and for some to whom it is not."""
        self.house.offset_ms += minutes * 60_000
        waiting = [payment.id for payment in self.mine if payment.deadline_at_ms is not None]
        missed = self.disputes if any(payment.disputed_minor for payment in self.mine) else []
        self.house.claim(*map(DeadlineReached, waiting), *map(answer_missed, missed))
        self.changed()

    @precondition(lambda self: self.carrier.in_place("pending", "declined", "held"))
    @rule(which=WHICH, takes=st.sampled_from([False, False, True]))
    def carrier_changes_its_mind(self, which: int, takes: bool) -> None:
        """What was under way or declined succeeds after all; what was held is let go, or *takes*: captured unasked."""
        attempt_id = pick(self.carrier.in_place("pending", "declined", "held"), which)
        if self.carrier.orders[attempt_id].place == "held":
            # Of what the shop may capture a part it would be another amount: a person looks at that.
            is_known = any(one.attempt_id == attempt_id for one in self.those("authorized", "capturing"))
            end = self.carrier.capture_unasked if takes and not is_known else self.carrier.let_go
            end(attempt_id)
        else:
            self.carrier.end_late(attempt_id)
        self._call_back(attempt_id)

    def _call_back(self, attempt_id: str) -> None:
        self.do(CallbackRead(base.Callback(carrier="acme", attempt_id=attempt_id)))

    @precondition(lambda self: self.those("captured"))
    @rule(which=WHICH)
    def carrier_gives_back_after_all(self, which: int) -> None:
        """A refund that it had declined, and for which enough is left on both sides."""
        captured = {payment.id: payment for payment in self.those("captured")}
        failed = self.rows("SELECT * FROM refund WHERE merchant_id = :me AND state = 'failed' ORDER BY id")
        possible = [row for row in failed if row.payment_id in captured]
        if not possible:
            return
        refund = pick(possible, which)
        payment = captured[refund.payment_id]
        assert payment.attempt_id is not None
        left_minor = min(payment.refundable_minor, self.carrier.orders[payment.attempt_id].kept_minor)
        if refund.amount_minor <= left_minor and payment.attempt_id not in self.carrier.lost:
            self.carrier.give_back_late(refund.id, payment.attempt_id, refund.amount_minor)
            self._call_back(refund.id)
            self._send_all(payment.id, "yes")

    @precondition(lambda self: self.those("captured"))
    @rule(which=st.integers(0, 40), is_told=st.booleans())
    def carrier_takes_the_money_back(self, which: int, is_told: bool) -> None:
        """Seldom, or there would be nothing left to walk on. Only the file tells of it, or somebody calls."""
        payment = pick(self.those("captured"), which)
        order = self.carrier.orders.get(payment.attempt_id or "")
        if which > 9 or order is None or order.kept_minor == 0 or self._has_other_refunds(payment):
            return
        if payment.attempt_id in self.carrier.lost:
            return  # It does not know that it has it.
        assert payment.attempt_id is not None
        # A rest as large as a part that went back before is a riddle for a person, if the file alone tells of it.
        is_told = is_told or order.kept_minor in order.given_back.values()
        self.carrier.take_back(payment.attempt_id)
        if is_told:
            event = ChargeTakenBack(at_ms=self.house.now_ms(), attempt_id=payment.attempt_id)
            self.do(Odd(lambda unit: unit.decide(payment.id, event), Needs(payment_ids=(payment.id,))))

    def _has_other_refunds(self, payment: Payment) -> bool:
        """Beside what has failed or is open, a row of the file about what came back is a riddle for a person."""
        found = self.rows("SELECT state FROM refund WHERE payment_id = :id", id=payment.id)
        return any(row.state != "succeeded" for row in found)
