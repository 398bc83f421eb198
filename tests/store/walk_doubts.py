"""The walk's rule about orders whose outcome no inquiry tells: a person asks the carrier, and decides."""

from typing import Any, Final

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from gateway.core.inquiries import doubt_words
from gateway.engine.decisions import EndOrder, Outcome, needs_of
from gateway.store.cases import resolve
from tests.store.walk_house import pick
from tests.store.walk_payments import WHICH, PaymentRules
from tests.store.walk_truth import Mood

SILENT: Final[tuple[Mood, ...]] = ("silent", "silent yes", "silent no", "lost")
RUNG_MIN: Final = 6
"""Longer than from one inquiry to the next."""


class Doubts(PaymentRules):
    """`gateway breaks decide`, by somebody who says what is true."""

    @precondition(lambda self: self.orders)
    @rule(which=WHICH, mood=st.sampled_from(SILENT), is_decided=st.sampled_from([True, True, False]))
    def nobody_knows_what_became_of_an_order(self, which: int, mood: Mood, is_decided: bool) -> None:
        """The carrier says nothing until a person is called."""
        order = pick(self.orders, which)
        attempt_id = order.body["attempt_id"]
        for _ in range(len(self.house.policy.rules["acme"].inquiry_ladder_ms) + 1):
            for row in [row for row in self.orders if row.body["attempt_id"] == attempt_id]:
                self.done(row, self.tell_the_biller(row, mood))
            mood = "silent"
            self.pass_time(RUNG_MIN)
        if is_decided:
            for case in self.doubts():
                self._decide(case)

    def doubts(self) -> list[Any]:  # Any: rows.
        """The open breaks about orders without an outcome, with their orders."""
        found = self.rows(
            'SELECT b.id AS break_id, b.detail AS words, a.* FROM "break" b JOIN payment p ON p.id = b.payment_id'
            " JOIN attempt a ON a.payment_id = p.id WHERE p.merchant_id = :me AND b.kind = 'unknown_outcome'"
            " AND b.resolved_at_ms IS NULL ORDER BY b.id"
        )
        return [row for row in found if row.words == doubt_words(row.id)]

    def _decide(self, case: Any) -> None:  # Any: a row of `doubts`.
        if case.charge_attempt_id in self.carrier.lost:
            return  # The carrier itself does not know.
        if self._goes_out_again(case):
            with pytest.raises(ValueError, match="on its way to the carrier once more"):
                self._say(case, Outcome.DID_NOT_HAPPEN)
            return
        happened = self.carrier.tells_a_person(case.id, case.kind, case.charge_attempt_id)
        try:
            self._say(case, Outcome.HAPPENED if happened else Outcome.DID_NOT_HAPPEN)
        except ValueError as error:
            if "is still to come" in str(error):
                return  # It went out again, and its questions have begun anew.
            if case.status == "running" or "is known" not in str(error):
                raise
            self.settle_break(case.break_id, "it is known by now")

    def _goes_out_again(self, case: Any) -> bool:  # Any: as above.
        """Whether the lane has, or will have, more of the order than questions about it."""
        statement = "SELECT body FROM outbox WHERE payment_id = :id AND kind NOT IN ('inquire', 'sim')"
        return any(f'"attempt_id":"{case.id}"' in row.body for row in self.rows(statement, id=case.payment_id))

    def _say(self, case: Any, outcome: Outcome) -> None:  # Any: as above.
        with self.house.reads.connect() as conn:
            wanted = needs_of(conn, case.break_id)
        # What a hold is called has to be told with it; nothing else need be.
        reference = f"SR{case.id}" if case.kind == "reserve" else ""
        self.do(EndOrder(case.break_id, outcome, "amina", "by telephone", reference, wanted))

    def settle_break(self, break_id: str, words: str) -> None:
        self.odd(lambda unit: resolve(unit.conn, "break", break_id, by="amina", note=words, now_ms=unit.now_ms))
