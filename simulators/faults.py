"""Which fault strikes now: by number (set by control), by script (n-th, every n-th, by chance), by magic digits.

It only chooses a name and its parameters; what the name means is written in the simulator it strikes.
Order: what control set for the number, then the script, then the number's last three digits.
"""

from collections import Counter
from typing import TypeVar

import msgspec

from simulators.chance import draw

SCRIPT_MAX = 1000
Default = TypeVar("Default", bound=float | None)

BILLING_FAULTS = frozenset(
    {
        "insufficient_funds",
        "limit_exceeded",
        "not_subscriber",
        "barred",
        "timeout_charged",
        "timeout_declined",
        "timeout_lost",
        "late",
        "error_before",
        "error_after",
        "garbage",
        "nested",
        "wrong_amount",
        "slow",
        "reset",
        "inquiry_lag",
        "processing",
        "callback_once",
        "callback_twice",
        "callback_before",
        "callback_late",
    }
)
RESERVE_FAULTS = BILLING_FAULTS | {"hold_expires"}
# Nothing can be lacking to give money back, and the answer names no amount that counts.
RELEASE_FAULTS = BILLING_FAULTS - {"insufficient_funds", "limit_exceeded", "not_subscriber", "wrong_amount"}
WALLET_FAULTS = frozenset(
    {
        "insufficient_funds",
        "limit_exceeded",
        "not_subscriber",
        "barred",
        "refused",
        "expired",
        "refused_at_once",
        "timeout_charged",
        "timeout_declined",
        "timeout_lost",
        "late",
        "processing",
        "silent",
        "error_before",
        "error_after",
        "garbage",
        "nested",
        "slow",
        "reset",
        "duplicate",
        "rate_limited",
        "token_expired",
        "inquiry_lag",
        "callback_lost",
        "callback_twice",
        "callback_before",
        "callback_late",
        "callback_forged",
        "callback_disordered",
    }
)
CAMARA_FAULTS = BILLING_FAULTS | {
    "unauthorized_amount",
    "denied",
    "silent",
    "duplicate",
    "duplicate_argument",
    "rate_limited",
    "token_expired",
    "callback_lost",
    "callback_forged",
    "callback_disordered",
}
CAMARA_STEP_FAULTS = frozenset(
    {
        "timeout_done",
        "timeout_lost",
        "error_before",
        "error_after",
        "garbage",
        "nested",
        "slow",
        "reset",
        "processing",
        "rate_limited",
        "token_expired",
        "callback_lost",
        "callback_twice",
    }
)
SUBMIT_FAULTS = frozenset(
    {
        "throttle",
        "queue_full",
        "system_error",
        "no_response",
        "late_response",
        "receipt_first",
        "undeliverable",
        "absent",
        "half_pdu",
        "garbage",
        "reset",
        "freeze",
    }
)
STK_RESULTS = {
    "insufficient_funds": "1",
    "limit_exceeded": "4",
    "rule_limited": "17",
    "initiator_not_allowed": "21",
    "system_busy": "26",
    "subscriber_locked": "1001",
    "expired": "1019",
    "push_failed": "1025",
    "cancelled": "1032",
    "unreachable": "1037",
    "wrong_pin": "2001",
    "wrong_initiator": "2001",
    "wrong_product": "2028",
    "unheard": "7777",
    "credential_locked": "8006",
    "push_error": "9999",
    "already_reversed": "R000001",
    "invalid_original": "R000002",
}
"""Faults of the wallet that end an order without money, and their ResultCode."""
_STK_ORDER_FAULTS = frozenset(
    {
        "timeout_begun",
        "timeout_lost",
        "silent",
        "error_before",
        "error_after",
        "garbage",
        "nested",
        "slow",
        "reset",
        "rate_limited",
        "token_expired",
        "bad_request",
        "callback_lost",
        "callback_twice",
        "callback_before",
        "callback_late",
        "wrong_token",
        "unheard",
        "insufficient_funds",
        "wrong_product",
        "credential_locked",
    }
)
STK_REVERSAL_FAULTS = _STK_ORDER_FAULTS | {
    "late",
    "partial",
    "queue_timeout",
    "initiator_not_allowed",
    "wrong_initiator",
    "already_reversed",
    "invalid_original",
}
STK_PUSH_FAULTS = (_STK_ORDER_FAULTS | STK_RESULTS.keys()) - {
    "initiator_not_allowed",
    "wrong_initiator",
    "already_reversed",
    "invalid_original",
} | {
    "busy",
    "wrong_credentials",
    "prompt_expires",
    "query_lag",
    "callback_bare",
    "callback_contrary",
    "wrong_amount",
}
SIM_FAULTS = frozenset(
    {
        "swapped",
        "contrary",
        "unknown_number",
        "not_applicable",
        "denied",
        "error_before",
        "rate_limited",
        "token_expired",
        "timeout_lost",
        "garbage",
        "nested",
        "slow",
        "reset",
    }
)
RECEIPT_FAULTS = frozenset({"never", "twice", "late"})
MO_FAULTS = frozenset({"twice", "lost"})
TWILIO_SUBMIT_FAULTS = frozenset(
    {
        "rate_limited",
        "queue_full",
        "unauthorized",
        "invalid_number",
        "landline",
        "opted_out",
        "opted_out_late",
        "undeliverable",
        "failed",
        "error_before",
        "error_after",
        "timeout_lost",
        "no_response",
        "garbage",
        "reset",
        "slow",
        "receipt_first",
    }
)
TWILIO_STATUS_FAULTS = frozenset({"never", "twice", "late", "disordered", "unsigned", "forged"})
TWILIO_MO_FAULTS = frozenset({"twice", "lost", "late", "unsigned", "forged"})
FAULTS = {
    "billing.charge": BILLING_FAULTS,
    "billing.refund": BILLING_FAULTS,
    "billing.reserve": RESERVE_FAULTS,
    "billing.capture": BILLING_FAULTS,
    "billing.release": RELEASE_FAULTS,
    "billing.inquiry": frozenset(
        {"error_before", "garbage", "nested", "slow", "timeout_lost", "reset", "processing", "not_found"}
    ),
    "wallet.charge": WALLET_FAULTS,
    "wallet.refund": WALLET_FAULTS,
    "wallet.inquiry": frozenset(
        {
            "error_before",
            "garbage",
            "nested",
            "slow",
            "timeout_lost",
            "reset",
            "processing",
            "not_found",
            "wrong_amount",
            "wrong_number",
            "rate_limited",
            "token_expired",
        }
    ),
    "wallet.token": frozenset({"error_before", "garbage", "nested", "timeout_lost", "refused"}),
    "camara.charge": CAMARA_FAULTS,
    "camara.reserve": CAMARA_FAULTS | {"pending_validation", "expires"},
    "camara.confirm": CAMARA_STEP_FAULTS | {"denied", "refused"},
    "camara.cancel": CAMARA_STEP_FAULTS,
    "camara.refund": CAMARA_FAULTS,
    "camara.inquiry": frozenset(
        {
            "error_before",
            "garbage",
            "nested",
            "slow",
            "timeout_lost",
            "reset",
            "processing",
            "not_found",
            "wrong_amount",
            "wrong_number",
            "nameless",
            "rate_limited",
            "token_expired",
        }
    ),
    "camara.token": frozenset({"error_before", "garbage", "nested", "timeout_lost", "refused"}),
    "sim.check": SIM_FAULTS,
    "sim.token": frozenset({"error_before", "garbage", "nested", "timeout_lost", "refused", "wrong"}),
    "smsc.submit": SUBMIT_FAULTS,
    "smsc.receipt": RECEIPT_FAULTS,
    "smsc.mo": MO_FAULTS,
    "stk.push": STK_PUSH_FAULTS,
    "stk.query": frozenset(
        {
            "error_before",
            "error_after",
            "garbage",
            "nested",
            "slow",
            "timeout_lost",
            "timeout_begun",
            "reset",
            "processing",
            "rate_limited",
            "token_expired",
            "unheard",
            "number",
        }
    ),
    "stk.reversal": STK_REVERSAL_FAULTS,
    "stk.token": frozenset(
        {"error_before", "garbage", "nested", "slow", "timeout_lost", "reset", "rate_limited", "short", "wrong"}
    ),
    "ussd.step": frozenset({"twice", "out_of_order", "answer_lost", "late", "dropped", "vanished", "timeout"}),
    "ussd.push": frozenset({"busy", "absent", "no_ussd", "timeout", "dropped", "answer_lost", "late"}),
    "twilio.submit": TWILIO_SUBMIT_FAULTS,
    "twilio.fetch": frozenset({"error_before", "timeout_lost", "garbage", "unpriced"}),
    "twilio.status": TWILIO_STATUS_FAULTS,
    "twilio.mo": TWILIO_MO_FAULTS,
}
POINTS = tuple(FAULTS)


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A named fault and how long or how much."""

    name: str
    seconds: float | None = None
    """For faults that wait: how long; without it the simulator's own default."""


def seconds_of(fault: Fault | None, default: Default) -> float | Default:
    """How long it waits: as it was set, else *default*."""
    return default if fault is None or fault.seconds is None else fault.seconds


class Scripted(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A line of the script. `at` and `every` count events at `point` since the script was set."""

    point: str
    fault: str
    seconds: float | None = None
    at: int | None = None
    every: int | None = None
    p: float | None = None
    msisdn: str | None = None
    times: int | None = None
    """Strikes at most this often; without it `at` strikes once and the others for ever."""

    def why_wrong(self) -> str | None:
        if self.point not in FAULTS:
            return f"point must be one of {', '.join(POINTS)}; got {self.point!r}"
        if self.fault not in FAULTS[self.point]:
            return f"{self.point} knows {', '.join(sorted(FAULTS[self.point]))}; got {self.fault!r}"
        if self.at is None and self.every is None and self.p is None and self.msisdn is None:
            return "one of at, every, p, msisdn must be given"
        if any(count is not None and count < 1 for count in (self.at, self.every, self.times)):
            return "at, every and times count from 1"
        if self.p is not None and not 0 <= self.p <= 1:
            return f"p is a chance between 0 and 1; got {self.p}"
        if self.seconds is not None and not self.seconds >= 0:
            return f"seconds must not be negative; got {self.seconds}"
        return None


MAGIC: dict[str, dict[str, str]] = {
    "010": {"balance": "empty"},
    "011": {"billing.charge": "timeout_charged"},
    "012": {"smsc.receipt": "never"},
    "013": {"smsc.submit": "receipt_first"},
    "014": {"billing.charge": "timeout_declined"},
    "015": {"billing.charge": "late", "sim.check": "swapped"},
    "016": {"smsc.submit": "undeliverable"},
    "910": {"billing.charge": "insufficient_funds"},
    "911": {"billing.charge": "limit_exceeded"},
    "912": {"billing.charge": "not_subscriber"},
    "913": {"billing.charge": "barred"},
    "914": {"billing.charge": "timeout_lost"},
    "915": {"billing.charge": "error_before"},
    "916": {"billing.charge": "error_after"},
    "917": {"billing.charge": "garbage"},
    "918": {"billing.charge": "wrong_amount"},
    "919": {"billing.charge": "slow"},
    "920": {"billing.charge": "reset"},
    "921": {"billing.charge": "inquiry_lag"},
    "922": {"billing.charge": "processing"},
    "923": {"billing.charge": "callback_once"},
    "924": {"billing.charge": "callback_twice"},
    "925": {"billing.charge": "callback_before"},
    "926": {"billing.charge": "callback_late"},
    "950": {"smsc.submit": "throttle"},
    "951": {"smsc.submit": "queue_full"},
    "952": {"smsc.submit": "system_error"},
    "953": {"smsc.submit": "no_response"},
    "954": {"smsc.submit": "late_response"},
    "955": {"smsc.receipt": "twice"},
    "956": {"smsc.receipt": "late"},
    "957": {"smsc.mo": "twice"},
    "958": {"smsc.submit": "half_pdu"},
    "959": {"smsc.submit": "garbage"},
    "960": {"smsc.submit": "reset"},
    "961": {"smsc.submit": "freeze"},
    "962": {"smsc.submit": "absent"},
    "970": {"stk.push": "insufficient_funds"},
    "971": {"stk.push": "limit_exceeded"},
    "972": {"stk.push": "cancelled"},
    "973": {"stk.push": "unreachable"},
    "974": {"stk.push": "wrong_pin"},
    "975": {"stk.push": "expired"},
    "976": {"stk.push": "subscriber_locked"},
    "977": {"stk.push": "busy"},
    "978": {"stk.push": "prompt_expires"},
    "979": {"stk.push": "silent"},
    "980": {"stk.push": "timeout_begun"},
    "981": {"stk.push": "timeout_lost"},
    "982": {"stk.push": "error_before"},
    "983": {"stk.push": "error_after"},
    "984": {"stk.push": "callback_lost"},
    "985": {"stk.push": "callback_twice"},
    "986": {"stk.push": "callback_before"},
    "987": {"stk.push": "callback_late"},
    "988": {"stk.push": "callback_contrary"},
    "989": {"stk.push": "query_lag"},
    "990": {"stk.push": "wrong_amount"},
    "991": {"stk.push": "rate_limited"},
    "992": {"stk.push": "token_expired"},
    "993": {"stk.reversal": "already_reversed"},
    "994": {"stk.reversal": "late"},
    "995": {"stk.reversal": "partial"},
    "996": {"stk.reversal": "queue_timeout"},
}
"""What the last three digits of a number do in the network and at the operator. What they do to the person is in
`handsets`. 9xx are ours; 001 to 018 are shared with it."""

# These strike the first time only; a link that died at every try would never let the retry be seen.
MAGIC_ONCE = frozenset(
    {"throttle", "queue_full", "system_error", "no_response", "half_pdu", "garbage", "reset", "freeze"}
)
_ONCE_POINT = "smsc.submit"
# Who cannot be charged cannot be reserved from either: the same digits say so.
_SAME_DIGITS = {"billing.reserve": "billing.charge"}


class FaultPlan:
    """Answers, for one event at one point, which fault strikes it, or none."""

    def __init__(self, *, seed: int, use_magic: bool = True) -> None:
        self._seed = seed
        self.use_magic = use_magic
        self.script: list[Scripted] = []
        self._seen: list[int] = []
        self._struck: list[int] = []
        self._by_number: dict[tuple[str, str], Fault] = {}
        self._draws: Counter[tuple[int, str]] = Counter()
        self._spent: set[str] = set()

    def add(self, line: Scripted) -> None:
        if len(self.script) >= SCRIPT_MAX:
            raise ValueError(f"at most {SCRIPT_MAX} scripted faults")
        self.script.append(line)
        self._seen.append(0)
        self._struck.append(0)

    def set_for_number(self, msisdn: str, point: str, fault: Fault | None) -> None:
        if fault is None:
            self._by_number.pop((msisdn, point), None)
        else:
            self._by_number[msisdn, point] = fault

    def clear(self) -> None:
        self.script.clear()
        self._seen.clear()
        self._struck.clear()
        self._by_number.clear()
        self._spent.clear()
        self._draws.clear()

    def pick(self, point: str, msisdn: str) -> Fault | None:
        if self._by_number and (chosen := self._by_number.get((msisdn, point))):
            return chosen
        if self.script and (scripted := self._scripted(point, msisdn)):
            return scripted
        return self._magic(point, msisdn) if self.use_magic else None

    def _scripted(self, point: str, msisdn: str) -> Fault | None:
        chosen: Fault | None = None
        for index, line in enumerate(self.script):
            if line.point != point or (line.msisdn is not None and line.msisdn != msisdn):
                continue
            self._seen[index] += 1
            if chosen is None and self._strikes(index, line, msisdn):
                self._struck[index] += 1
                chosen = Fault(name=line.fault, seconds=line.seconds)
        return chosen

    def _strikes(self, index: int, line: Scripted, msisdn: str) -> bool:
        seen = self._seen[index]
        if line.times is not None and self._struck[index] >= line.times:
            return False
        if line.at is not None:
            # `times` makes "at the 3rd, and the 2 after it" of "at the 3rd".
            return line.at <= seen < line.at + (line.times or 1)
        if line.every is not None:
            return seen % line.every == 0
        if line.p is not None:
            # Per line and phone, so that neither other phones nor other points change what strikes this one.
            self._draws[index, msisdn] += 1
            return draw(self._seed, msisdn, self._draws[index, msisdn], f"{line.point} {index}") < line.p
        return True

    def _magic(self, point: str, msisdn: str) -> Fault | None:
        row = MAGIC.get(msisdn[-3:])
        name = row.get(_SAME_DIGITS.get(point, point)) if row else None
        if name is None:
            return None
        if point == _ONCE_POINT and name in MAGIC_ONCE:
            if msisdn in self._spent:
                return None
            self._spent.add(msisdn)
        return Fault(name=name)
