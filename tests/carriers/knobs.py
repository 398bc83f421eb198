"""What every knob of every simulator must look like through the adapter that is tried against it.

One `Sheet` a biller. `test_conformance` tries each line; `test_conformance_is_whole` sees that no knob of a simulator
and no capability of a biller is missing. The words are those of `conformance.word`.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple, get_args, get_type_hints

from carriers.loopback import Settings as LoopbackSettings
from gateway.core.money import Money


class Knob(NamedTuple):
    """What one order looks like that meets it."""

    answer: str
    """To the order itself."""
    found: str
    """By an inquiry afterwards."""
    moved: int = 0
    """Times that money was taken or given back by then."""
    settled: str = ""
    """By an inquiry after the other side has ended what it held back; then money has moved as if nothing was wrong."""
    hangs: bool = False
    callbacks: int = 0
    """That reach the gateway, until the end."""


Rows = Mapping[str, Knob]
PLAIN: Final = ""
"""The line of an order that meets no fault."""


class Sheet(NamedTuple):
    """One biller."""

    rows: Mapping[str, Rows]
    """Operation to knobs. The operations are those that its capabilities declare."""
    again: Mapping[str, str]
    """Operation to what the same order is answered that comes a second time."""
    inquiries: Mapping[str, Mapping[str, str]]
    """Operation to knobs of an inquiry about it, and what is found; one is missing that nobody can be asked about."""
    by_reference: Mapping[str, str] = {}
    """Of the knobs of inquiries those that look otherwise where the carrier's own reference was learned."""
    points: Mapping[str, str] = {}
    """Operation, `inquiry` and `token` to the simulator's fault points."""
    tokens: Mapping[str, str] = {}
    """Knobs of the access token to what a charge is answered."""
    stranger: str = "unknown"
    """What an inquiry finds that names the attempt of another phone."""
    amounts: tuple[Money, ...] = (Money(1, "KES"), Money(100_05, "KES"), Money(500, "UGX"), Money(1_001, "TND"))
    needs_reference: bool = False
    """A charge can be given back only if its reference was learned."""

    @property
    def knobs(self) -> dict[str, set[str]]:
        """By point, what is tried."""
        tried = {self.points.get(name, name): set(rows) - {PLAIN} for name, rows in self.rows.items()}
        more = {"inquiry": set(self.inquiries["charge"]), "token": set(self.tokens)}
        return tried | {self.points[name]: names for name, names in more.items() if name in self.points}


def same(names: str, knob: Knob) -> dict[str, Knob]:
    return dict.fromkeys(names.split(), knob)


def answers(**said: str) -> dict[str, str]:
    """Answer to the names of its knobs, turned round."""
    return {name: answer.replace("_", " ") for answer, names in said.items() for name in names.split()}


NO_FUNDS, LIMIT, NOBODY, BARRED = (
    f"declined {reason}" for reason in ("insufficient_funds", "limit_exceeded", "not_subscriber", "carrier_declined")
)
DECLINES = {"insufficient_funds": NO_FUNDS, "limit_exceeded": LIMIT, "not_subscriber": NOBODY, "barred": BARRED}


def declines(found: str = "") -> dict[str, Knob]:
    return {name: Knob(said, found or said) for name, said in DECLINES.items()}


def opbill(yes: str, before: str = "not found", silent_no: str = LIMIT) -> dict[str, Knob]:
    """*yes*: the answer that says so, and what is found then; *before*: what is found if nothing was done."""
    moved = int(yes == "charged")
    return {
        **same(f"{PLAIN} slow", Knob(yes, yes, moved)),
        PLAIN: Knob(yes, yes, moved),
        "timeout_charged": Knob("unknown", yes, moved, hangs=True),
        "timeout_declined": Knob("unknown", silent_no, hangs=True),
        "timeout_lost": Knob("unknown", before, hangs=True),
        "late": Knob("unknown", before, settled=yes, hangs=True, callbacks=1),
        "error_before": Knob("unknown", before),
        **same("error_after garbage nested reset", Knob("unknown", yes, moved)),
        "inquiry_lag": Knob("unknown", "pending", moved, settled=yes, hangs=True),
        "processing": Knob("unknown", "pending", settled=yes, callbacks=1),
        **same("callback_once callback_before callback_late", Knob(yes, yes, moved, callbacks=1)),
        "callback_twice": Knob(yes, yes, moved, callbacks=2),
    }


CHARGED_OTHERWISE = {"wrong_amount": Knob("charged otherwise", "charged", 1)}
OPBILL_MONEY = {**declines(), **opbill("charged"), **CHARGED_OTHERWISE}
OPBILL_INQUIRIES = answers(
    unknown="error_before garbage nested timeout_lost reset",
    charged="slow",
    pending="processing",
    not_found="not_found",
)
OPBILL = Sheet(
    rows={
        "charge": OPBILL_MONEY,
        "refund": OPBILL_MONEY,
        "reserve": {
            **declines(),
            **opbill("held"),
            "wrong_amount": Knob("held otherwise", "held"),
            "hold_expires": Knob("held", "held", settled="released"),
        },
        "capture": {**declines("held"), **opbill("charged", "held", "held"), **CHARGED_OTHERWISE},
        "release": {"barred": Knob(BARRED, "held"), **opbill("released", "held", "held")},
    },
    again={"charge": "charged", "refund": "charged", "reserve": "held", "capture": "charged", "release": "released"},
    inquiries={
        "charge": OPBILL_INQUIRIES,
        "refund": OPBILL_INQUIRIES,
        "reserve": {**OPBILL_INQUIRIES, "slow": "held"},
    },
    points={name: f"billing.{name}" for name in ("charge", "refund", "reserve", "capture", "release", "inquiry")},
    stranger="not found",
)


def camara(yes: str) -> dict[str, Knob]:
    moved = int(yes == "charged")
    return {
        # An order that is refused at once is not made: an inquiry does not find it.
        **same("insufficient_funds barred", Knob(BARRED, "not found")),
        **same("limit_exceeded unauthorized_amount", Knob(LIMIT, "not found")),
        "not_subscriber": Knob(NOBODY, "not found"),
        "denied": Knob("pending", BARRED, callbacks=1),
        "timeout_charged": Knob("unknown", yes, moved, hangs=True),
        **same("timeout_declined timeout_lost", Knob("unknown", "not found", hangs=True)),
        "late": Knob("unknown", "not found", settled=yes, hangs=True, callbacks=1),
        "processing": Knob("pending", "pending", settled=yes, callbacks=1),
        "silent": Knob("pending", "pending", settled=yes),
        "inquiry_lag": Knob("unknown", "pending", moved, settled=yes, hangs=True),
        **same("error_before rate_limited", Knob("unknown", "not found")),
        **same("error_after garbage nested reset duplicate duplicate_argument", Knob("unknown", yes, moved)),
        "wrong_amount": Knob(f"{yes} otherwise", yes, moved),
        PLAIN: Knob(yes, yes, moved),
        **same("slow token_expired callback_lost callback_forged", Knob(yes, yes, moved)),
        **same("callback_once callback_before callback_late", Knob(yes, yes, moved, callbacks=1)),
        **same("callback_twice callback_disordered", Knob(yes, yes, moved, callbacks=2)),
    }


def camara_step(yes: str) -> dict[str, Knob]:
    moved = int(yes == "charged")
    done = Knob(yes, yes, moved, callbacks=1)
    return {
        PLAIN: done,
        # The answer to a step says nothing but 202, whatever its body is.
        **same("slow token_expired garbage nested", done),
        "timeout_done": Knob("unknown", yes, moved, hangs=True, callbacks=1),
        "timeout_lost": Knob("unknown", "held", hangs=True),
        **same("error_before rate_limited", Knob("unknown", "held")),
        **same("error_after reset", Knob("unknown", yes, moved, callbacks=1)),
        "processing": Knob("pending", "held", settled=yes, callbacks=1),
        "callback_lost": Knob(yes, yes, moved),
        "callback_twice": Knob(yes, yes, moved, callbacks=2),
    }


CAMARA_INQUIRIES = answers(
    unknown="error_before garbage nested timeout_lost reset wrong_number nameless rate_limited",
    charged="slow token_expired",
    charged_otherwise="wrong_amount",
    pending="processing",
    not_found="not_found",
)
CAMARA = Sheet(
    rows={
        "charge": camara("charged"),
        "refund": {**camara("charged"), **same("not_subscriber unauthorized_amount", Knob(BARRED, "not found"))},
        "reserve": {
            **camara("held"),
            # That the operator has cancelled what wanted a code is called about.
            "pending_validation": Knob(BARRED, "released", callbacks=1),
            "expires": Knob("held", "held", settled="released", callbacks=1),
        },
        "capture": {
            **camara_step("charged"),
            "denied": Knob(BARRED, BARRED, callbacks=1),
            "refused": Knob(BARRED, "held"),
        },
        "release": camara_step("released"),
    },
    again=OPBILL.again,
    inquiries={
        "charge": CAMARA_INQUIRIES,
        # A refund names no number; there the fault gives it the id of another one.
        "refund": {**CAMARA_INQUIRIES, "wrong_number": "not found"},
        "reserve": {
            **CAMARA_INQUIRIES,
            **answers(held="slow token_expired", held_otherwise="wrong_amount"),
        },
    },
    by_reference={"nameless": "held"},
    points={
        **{name: f"camara.{name}" for name in ("charge", "refund", "reserve", "inquiry", "token")},
        "capture": "camara.confirm",
        "release": "camara.cancel",
    },
    tokens=dict.fromkeys(("error_before", "garbage", "nested", "timeout_lost", "refused"), "unsent"),
)


def momo(yes: str = "charged", *, expired: str = "expired", at_once: str = NOBODY, **other: str) -> dict[str, Knob]:
    """A wallet that knows our key. *other*: declines that this dialect words otherwise."""
    ended = {**DECLINES, "refused": "declined refused", "expired": f"declined {expired}", **other}
    return {
        **{name: Knob("pending", said, callbacks=1) for name, said in ended.items()},
        "refused_at_once": Knob(at_once, "not found"),
        "timeout_charged": Knob("unknown", yes, 1, hangs=True, callbacks=1),
        "timeout_declined": Knob("unknown", LIMIT, hangs=True, callbacks=1),
        "timeout_lost": Knob("unknown", "not found", hangs=True),
        "late": Knob("unknown", "not found", settled=yes, hangs=True, callbacks=1),
        "processing": Knob("pending", "pending", settled=yes, callbacks=1),
        "silent": Knob("pending", "pending", settled=yes),
        **same("error_before rate_limited", Knob("unknown", "not found")),
        **same("error_after garbage nested reset duplicate", Knob("unknown", yes, 1, callbacks=1)),
        "inquiry_lag": Knob("pending", "pending", 1, settled=yes, callbacks=1),
        PLAIN: Knob("pending", yes, 1, callbacks=1),
        **same("slow token_expired callback_before callback_late", Knob("pending", yes, 1, callbacks=1)),
        **same("callback_lost callback_forged", Knob("pending", yes, 1)),
        **same("callback_twice callback_disordered", Knob("pending", yes, 1, callbacks=2)),
    }


MOMO_INQUIRIES = answers(
    unknown="error_before garbage nested timeout_lost reset wrong_amount wrong_number rate_limited",
    charged="slow token_expired",
    pending="processing",
    not_found="not_found",
)
MTN = Sheet(
    rows={"charge": momo(), "refund": momo()},
    again={"charge": "unknown", "refund": "unknown"},
    inquiries={"charge": MOMO_INQUIRIES, "refund": MOMO_INQUIRIES},
    points={name: f"wallet.{name}" for name in ("charge", "refund", "inquiry", "token")},
    tokens=CAMARA.tokens,
)
GSMA = MTN._replace(
    rows={
        "charge": momo(expired="carrier_declined"),
        "refund": momo(expired="carrier_declined", at_once=BARRED),
    },
    # That it does not know its own reference, which it gave us, says nothing about the order.
    by_reference={"not_found": "unknown"},
)
UNSEEN: Final = "unknown"
"""What an inquiry finds about a refund of Airtel's, which cannot be asked about."""
AIRTEL_REFUND = {
    **same("insufficient_funds limit_exceeded not_subscriber barred refused expired", Knob(BARRED, UNSEEN)),
    **same("refused_at_once error_before rate_limited", Knob("unknown", UNSEEN)),
    **same("error_after garbage nested reset duplicate", Knob("unknown", UNSEEN, 1)),
    "timeout_charged": Knob("unknown", UNSEEN, 1, hangs=True),
    **same("timeout_declined timeout_lost", Knob("unknown", UNSEEN, hangs=True)),
    "late": Knob("unknown", UNSEEN, settled=UNSEEN, hangs=True),
    **same("processing silent", Knob("unknown", UNSEEN, settled=UNSEEN)),
    PLAIN: Knob("charged untold", UNSEEN, 1),
    **same("slow token_expired inquiry_lag callback_lost callback_twice", Knob("charged untold", UNSEEN, 1)),
    **same("callback_before callback_late", Knob("charged untold", UNSEEN, 1)),
    **same("callback_forged callback_disordered", Knob("charged untold", UNSEEN, 1)),
}
AIRTEL = MTN._replace(
    rows={"charge": momo("charged untold", at_once=LIMIT, not_subscriber=BARRED), "refund": AIRTEL_REFUND},
    inquiries={"charge": {**MOMO_INQUIRIES, **answers(charged_untold="slow token_expired")}},
    # Its enquiry names no number either.
    stranger="charged untold",
)


def ended(reason: str) -> Knob:
    return Knob("pending", f"declined {reason}", callbacks=1)


STK_DONE = Knob("pending", "charged", 1, callbacks=1)
STK_NOT_BEGUN = Knob("unsent", "unknown")
STK_ORDER = {
    PLAIN: STK_DONE,
    **same("slow callback_before callback_late", STK_DONE),
    "callback_twice": STK_DONE._replace(callbacks=2),
    **same("rate_limited token_expired", STK_NOT_BEGUN),
    "bad_request": Knob(BARRED, "unknown"),
    "unheard": Knob("pending", "unknown", callbacks=1),
    "timeout_lost": Knob("unknown", "unknown", hangs=True),
    "timeout_begun": Knob("unknown", "charged", 1, hangs=True, callbacks=1),
    "silent": Knob("pending", "pending", settled="charged", callbacks=1),
    "error_before": Knob("unknown", "unknown"),
    **same("error_after garbage nested reset", Knob("unknown", "charged", 1, callbacks=1)),
}
STK = Sheet(
    rows={
        "charge": {
            **STK_ORDER,
            "insufficient_funds": ended("insufficient_funds"),
            "limit_exceeded": ended("limit_exceeded"),
            **same("rule_limited wrong_product credential_locked", ended("carrier_declined")),
            **same("system_busy subscriber_locked", ended("carrier_unavailable")),
            "expired": ended("expired"),
            **same("push_failed push_error unreachable prompt_expires", ended("unreachable")),
            "cancelled": ended("refused"),
            "wrong_pin": ended("wrong_code"),
            **same("busy wrong_credentials", STK_NOT_BEGUN),
            "query_lag": Knob("pending", "pending", 1, settled="charged", callbacks=1),
            # The query names no amount: without the callback nobody does.
            **same("callback_lost wrong_token", Knob("pending", "charged untold", 1)),
            "callback_bare": Knob("pending", "charged untold", 1, callbacks=1),
            "callback_contrary": STK_DONE._replace(callbacks=2),
            "wrong_amount": Knob("pending", "charged otherwise", 1, callbacks=1),
        },
        "refund": {
            **STK_ORDER,
            **same(
                "insufficient_funds wrong_product credential_locked initiator_not_allowed wrong_initiator"
                " already_reversed invalid_original",
                ended("carrier_declined"),
            ),
            "late": STK_DONE,
            # Nobody can be asked: an operator looks, or the carrier's file tells.
            **same("callback_lost wrong_token", Knob("pending", "pending", 1)),
            "queue_timeout": Knob("pending", "pending", callbacks=1),
            "partial": Knob("pending", "charged otherwise", 1, callbacks=1),
        },
    },
    # No key of ours keeps a second one out, but the open prompt does; a second reversal is refused by its result.
    again={"charge": "unsent", "refund": "pending"},
    inquiries={
        "charge": answers(
            unknown="error_before error_after garbage nested timeout_lost timeout_begun reset rate_limited"
            " token_expired unheard",
            pending="processing",
            charged="slow number",
        )
    },
    points={"charge": "stk.push", "refund": "stk.reversal", "inquiry": "stk.query", "token": "stk.token"},
    tokens=answers(unsent="error_before garbage nested reset rate_limited timeout_lost wrong", pending="slow short"),
    # M-Pesa's own id is the question; the number is not asked for and not told.
    stranger="charged",
    amounts=(Money(100, "KES"), Money(125_000, "KES")),
    needs_reference=True,
)

LOOPBACK_KNOBS = frozenset(get_args(get_type_hints(LoopbackSettings)["charges"])) - {"accepted"}
LOOPBACK = Sheet(
    rows={
        "charge": {
            PLAIN: Knob("charged", "charged", 1),
            "insufficient_funds": Knob(NO_FUNDS, NO_FUNDS),
            "limit_exceeded": Knob(LIMIT, LIMIT),
            "not_subscriber": Knob(NOBODY, NOBODY),
            "carrier_declined": Knob(BARRED, BARRED),
        },
        "refund": {PLAIN: Knob("charged", "charged", 1)},
    },
    again={"charge": "charged", "refund": "charged"},
    inquiries={"charge": {}, "refund": {}},
    stranger="not found",
)

SHEETS: Final[Mapping[str, Sheet]] = {
    "opbill": OPBILL,
    "camara": CAMARA,
    "wallet_momo mtn": MTN,
    "wallet_momo gsma": GSMA,
    "wallet_momo airtel": AIRTEL,
    "wallet_stk": STK,
    "loopback": LOOPBACK,
}
HOLDING: Final = tuple(name for name, sheet in SHEETS.items() if "reserve" in sheet.rows)
IN_PARTS: Final = tuple(name for name in HOLDING if name != "camara")
"""Of these, the ones that capture less than they hold; CAMARA knows the whole only."""
NETWORKED: Final = tuple(name for name, sheet in SHEETS.items() if sheet.points)
