"""The wallet's book: accounts, pushes, reversals, and what was executed. No HTTP, no faults, no waiting.

Every execution is journalled here and nowhere else, so the journal is the truth about money. Amounts are whole
shillings, as the wallet has no others.
"""

import time

import msgspec

from simulators.journal import Journal

BALANCE_START = 10**9
PUSH_AMOUNT_MAX = 250_000
RECEIPT_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

DONE = "0"
RESULTS = {
    "0": "The service request is processed successfully.",
    "1": "The balance is insufficient for the transaction.",
    "3": "Declined due to limit rule: greater than the maximum transaction amount.",
    "4": "Declined due to limit rule: would exceed daily transfer limit.",
    "17": "Rule limited.",
    "21": "The initiator is not allowed to initiate this request.",
    "26": "System busy. Traffic blocking condition in place.",
    "1001": "Unable to lock subscriber, a transaction is already in process for the current subscriber.",
    "1019": "Transaction has expired.",
    "1025": "An error occurred while sending a push request.",
    "1032": "Request cancelled by user.",
    "1037": "DS timeout user cannot be reached.",
    "2001": "The initiator information is invalid.",
    "2028": "The request is not permitted according to product assignment.",
    "7777": "Something that no table lists.",
    "8006": "The security credential is locked.",
    "9999": "An error occurred while sending a push request.",
    "R000001": "The transaction has already been reversed.",
    "R000002": "The OriginalTransactionID is invalid.",
}


class Push(msgspec.Struct, kw_only=True):
    """One prompt on one phone."""

    merchant_request_id: str
    id: str
    """The CheckoutRequestID."""
    msisdn: str
    amount: int
    reference: str
    description: str
    callback_url: str
    result: str | None = None
    """None while the prompt stands; then for ever one of RESULTS."""
    receipt: str | None = None
    is_reversed: bool = False
    lagging_until: float = 0.0
    """Until then (monotonic) the query still says that it is being processed."""


class Reversal(msgspec.Struct, kw_only=True):
    conversation_id: str
    originator_conversation_id: str
    original: str
    """The receipt to be reversed."""
    amount: int
    result_url: str
    timeout_url: str
    occasion: str
    msisdn: str
    result: str | None = None
    receipt: str | None = None
    given_back: int = 0


class Book:
    """Accounts come into being on sight; money moves in `execute` and `execute_reversal` only."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.reset()

    def reset(self) -> None:
        self._balances: dict[str, int] = {}
        self.pushes: dict[str, Push] = {}
        self.reversals: dict[str, Reversal] = {}
        self._by_receipt: dict[str, Push] = {}
        self._prompted: dict[str, str] = {}
        self._receipts = 0
        self.executions = {"charge": 0, "refund": 0}
        self.sums = {"charge": 0, "refund": 0}

    def balance(self, msisdn: str) -> int:
        return self._balances.get(msisdn, BALANCE_START)

    def set_balance(self, msisdn: str, balance: int) -> None:
        self._balances[msisdn] = balance
        self._journal.write("balance", msisdn=msisdn, balance=balance)

    def knows(self, msisdn: str) -> bool:
        return msisdn in self._balances

    def is_prompted(self, msisdn: str) -> bool:
        """A phone shows one prompt at a time."""
        return msisdn in self._prompted

    def by_receipt(self, receipt: str) -> Push | None:
        return self._by_receipt.get(receipt)

    def open(self, push: Push) -> None:
        """A prompt on the phone; no money moves."""
        self.pushes[push.id] = push
        self._prompted[push.msisdn] = push.id
        self._journal.write("prompt", checkout=push.id, msisdn=push.msisdn, amount=push.amount)

    def execute(self, push: Push, result: str = DONE) -> None:
        """End a push: move the money, or say why not."""
        if push.result is not None:
            return
        if result == DONE and push.amount > PUSH_AMOUNT_MAX:
            result = "3"
        if result == DONE and self.balance(push.msisdn) < push.amount:
            result = "1"
        push.result = result
        if self._prompted.get(push.msisdn) == push.id:
            del self._prompted[push.msisdn]
        if result != DONE:
            self._journal.write("denied", checkout=push.id, msisdn=push.msisdn, result=result)
            return
        push.receipt = self._next_receipt()
        self._by_receipt[push.receipt] = push
        self._balances[push.msisdn] = self.balance(push.msisdn) - push.amount
        self._remember("charge", push.amount)
        self._journal.write(
            "executed.charge",
            correlator=push.id,
            msisdn=push.msisdn,
            amount=str(push.amount),
            currency="KES",
            server_reference=push.receipt,
            reference=push.reference,
            original=None,
            callback_url=push.callback_url,
        )

    def execute_reversal(self, reversal: Reversal, result: str = DONE, *, part: int | None = None) -> None:
        """End a reversal: give all back (or by mistake a *part*), or say why not."""
        if reversal.result is not None:
            return
        push = self.by_receipt(reversal.original)
        if result == DONE:
            result = _why_not(push, reversal)
        reversal.result = result
        if result != DONE:
            self._journal.write("denied", checkout=reversal.original, msisdn=reversal.msisdn, result=result)
            return
        assert push is not None
        push.is_reversed = True
        reversal.receipt = self._next_receipt()
        reversal.given_back = reversal.amount if part is None else part
        self._balances[push.msisdn] = self.balance(push.msisdn) + reversal.given_back
        self._remember("refund", reversal.given_back)
        self._journal.write(
            "executed.refund",
            correlator=reversal.conversation_id,
            msisdn=push.msisdn,
            amount=str(reversal.given_back),
            currency="KES",
            server_reference=reversal.receipt,
            reference=reversal.occasion,
            original=push.id,
        )

    def result_seen(self, push: Push) -> str | None:
        """What a query sees, which may lag behind the truth."""
        return None if time.monotonic() < push.lagging_until else push.result

    def _remember(self, kind: str, amount: int) -> None:
        self.executions[kind] += 1
        self.sums[kind] += amount

    def _next_receipt(self) -> str:
        self._receipts += 1
        letters, number = [], self._receipts
        for _ in range(5):
            number, place = divmod(number, len(RECEIPT_ALPHABET))
            letters.append(RECEIPT_ALPHABET[place])
        return "SKR31" + "".join(reversed(letters))


def _why_not(push: Push | None, reversal: Reversal) -> str:
    if push is None:
        return "R000002"
    if push.is_reversed:
        return "R000001"
    return DONE if reversal.amount == push.amount else "R000002"
