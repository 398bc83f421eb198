"""What went over the wire is kept for whoever looks into a complaint; no number, no code and no secret lies there."""

import re
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from gateway.cli.traces import Exchange, exchanges
from gateway.core.gsm import pack_septets
from gateway.store import merchant_reads
from tests.journeys.evidence import CODE_KEY
from tests.journeys.house import CALLBACK_KEY, House, a_number, together
from tests.stores import reading

pytestmark = pytest.mark.journey


def kept(home: House) -> list[Any]:  # Any: rows of `trace`.
    return home.evidence.rows("SELECT payment_id, kind, body FROM trace ORDER BY id")


def octets(home: House) -> list[bytes]:
    """Every row, each way by itself."""
    return [bytes.fromhex(half) for row in kept(home) for half in msgspec.json.decode(row.body).values()]


def of_payment(home: House, payment_id: str) -> list[Exchange]:
    with reading(home.gateway.config.gateway.database) as conn:
        return exchanges(merchant_reads.traces(conn, payment_id))


def forms_of_number(msisdn: str) -> list[bytes]:
    """As the wire may have it: international, national, in UCS-2, in an address of HTTP."""
    digits = msisdn.removeprefix("+")
    national = digits.removeprefix("254")
    return [form for text in (digits, national) for form in (text.encode(), text.encode("utf-16-be"))]


def forms_of_code(code: str) -> list[re.Pattern[bytes]]:
    """The code where no other digit stands beside it: dates and ids of receipts may hold any four digits."""
    plain = re.compile(rb"(?<![0-9])" + code.encode() + rb"(?![0-9])")
    wide = re.compile(re.escape(code.encode("utf-16-be")))
    spaced = [re.compile(re.escape(mark.join(code).encode())) for mark in (" ", "-", ".")]
    return [plain, wide, *spaced, re.compile(re.escape(pack_septets(code.encode())))]


async def test_every_exchange_about_a_payment_is_kept_and_can_be_read(called_back: House) -> None:
    home = called_back
    phone = a_number()
    asked = await home.shop.ask(phone)
    assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
    await home.text_with(phone, "PAID")
    await home.settled()
    await home.until_rows("SELECT id FROM message WHERE template = 'ask' AND status = 'delivered'")
    found = of_payment(home, asked["id"])
    assert sorted(trace.kind for trace in found if trace.kind != "http") == [
        *("deliver_sm", "deliver_sm", "submit_sm", "submit_sm"),
    ]
    ask = next(trace for trace in found if trace.kind == "submit_sm")
    assert ask.sent is not None and ask.received is not None
    assert [pdu["command"] for pdu in (*ask.sent.decoded, *ask.received.decoded)] == ["submit_sm", "submit_sm_resp"]
    assert ask.sent.decoded[0]["destination_addr"] == "*" * 12
    text = ask.sent.decoded[0]["text"]
    assert isinstance(text, str) and "KES 1,250.00" in text and "****" in text
    reply = next(
        trace for trace in found if trace.received is not None and trace.received.decoded[0].get("text") == "****"
    )
    assert reply.received is not None and reply.received.decoded[0]["source_addr"] in ("*" * 12, "+" + "*" * 12)
    charge = next(trace for trace in found if trace.kind == "http")
    assert charge.sent is not None and charge.received is not None
    assert charge.sent.decoded[0]["start"] == "POST /payment/tel%3A%2B************/transactions/amount"
    assert charge.received.decoded[0]["start"] in ("200", "201")
    body = charge.sent.decoded[0]["body"]
    assert isinstance(body, dict) and body["amountTransaction"]["endUserId"] == "tel:+************"


WORDS = ("{code}", "Yes {code}", "{a} {b}", "ndio\u00a0{code}", "{wide}", "{arabic}", "{code}!", "我付款 {code}")


async def test_no_trace_holds_a_number_a_code_or_a_secret(called_back: House) -> None:
    home = called_back
    phones: list[str] = []
    codes: list[str] = []

    async def replying(words: str) -> None:
        phone = a_number()
        home.behave(phone, "silent")
        asked = await home.shop.ask(phone, language="sw" if len(phones) % 2 else "en", description="Simu " + phone)
        code = await home.code_in(phone)
        phones.append(phone)
        codes.append(code)
        wide = "".join(chr(ord(digit) + 0xFEE0) for digit in code)
        arabic = "".join(chr(ord(digit) - 0x30 + 0x660) for digit in code)
        home.text(phone, words.format(code=code, a=code[:2], b=code[2:], wide=wide, arabic=arabic))
        await home.shop.until(asked["id"], lambda payment: payment["status"] not in ("pending", "requires_consent"))
        await home.shop.until_final(asked["id"])

    await together(*(replying(words) for words in WORDS))
    phone = a_number()
    home.behave(phone, "silent")
    asked = await home.shop.ask(phone)
    code = await home.code_in(phone)
    home.text(phone, f"What is {code} for? My number is {phone}, or 0{phone[4:]}, call me " + "please " * 30)
    await home.text_with(phone, "did not understand")
    home.text(phone, code)
    assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
    await home.settled()
    lying = octets(home)
    assert len(lying) > 4 * len(WORDS)
    for number in (*phones, phone):
        assert not any(form in half for form in forms_of_number(number) for half in lying)
    for known in (*codes, code):
        found = [half for form in forms_of_code(known) for half in lying if form.search(half)]
        assert found == [], known
    for arabic in ("".join(chr(ord(digit) - 0x30 + 0x660) for digit in known) for known in codes):
        assert not any(arabic.encode("utf-16-be") in half for half in lying)
    secrets = [b"secret", b"Basic ", b"Authorization", CODE_KEY.hex().encode(), CALLBACK_KEY.encode()]
    assert not any(secret in half for secret in secrets for half in lying)
    tokens = {
        entry.rpartition("/")[2]
        for half in lying
        for entry in re.findall(r"/callbacks[^\"\s]*", half.decode("latin-1"))
    }
    assert tokens == {"*"}


async def test_without_traces_nothing_is_kept(home: House) -> None:
    home.gateway.store._policy = replace(home.gateway.store._policy, traces=False)
    asked = await home.shop.ask(a_number())
    assert (await home.shop.until_final(asked["id"]))["status"] == "succeeded"
    await home.settled()
    assert kept(home) == []
