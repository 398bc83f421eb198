"""Payout files are what the official schema wants, and say what was meant; a bank's report is read as it was meant."""

from importlib import resources
from zoneinfo import ZoneInfo

import msgspec
import pytest
import xmlschema
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.core.payouts import PayoutState
from gateway.store.payouts import Payout
from merchants import payout_files
from merchants.bank_words import BankWord, read_report
from merchants.payout_files import FORMATS, Debtor, Format, WrongFile, decimal, payout_file
from simulators.bank import read_file

DEBTOR = Debtor(name="Gateway Ltd", account="DE89370400440532013000", bic="COBADEFFXXX")
ZONES = {ZoneInfo("Africa/Nairobi")}
PAIN = [form for form in FORMATS if form != "csv"]


def a_payout(n: int = 1, **changes: object) -> Payout:
    payout = Payout(
        id=f"po_{n:026d}",
        merchant_id="mer_1",
        mode="live",
        currency="KES",
        amount_minor=125_050 + n,
        state=PayoutState.SUBMITTED,
        account_name="Ashá & Sons <Mboga>",
        account="1100223344",
        bic="KCBLKENX",
        drafted_by="settlement run",
        file_id=f"pof_{7:026d}",
        bank="main",
        created_at_ms=1_795_000_000_000,
        changed_at_ms=1_795_000_000_000,
    )
    return msgspec.structs.replace(payout, **changes)


PAYOUTS = {
    "a local account": [a_payout()],
    "an IBAN": [a_payout(account="GB82WEST12345698765432", bic="")],
    "several": [a_payout(n) for n in range(1, 30)],
    "a currency without minor units": [a_payout(currency="UGX", amount_minor=70_000)],
    "a long name": [a_payout(account_name="Ashá " * 14)],
}


@pytest.mark.parametrize("form", PAIN)
@pytest.mark.parametrize("label", PAYOUTS)
def test_a_file_is_valid_by_the_official_schema(form: Format, label: str) -> None:
    schema = xmlschema.XMLSchema(str(resources.files("sepaxml") / "schemas" / f"{form}.xsd"))
    schema.validate(payout_file(PAYOUTS[label], DEBTOR, form, ZONES).decode())


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("label", PAYOUTS)
def test_a_bank_reads_what_was_meant(form: Format, label: str) -> None:
    payouts = PAYOUTS[label]
    taken = read_file(payout_file(payouts, DEBTOR, form, ZONES))
    assert taken.id == payouts[0].file_id
    found = [(one.id, one.account, str(one.amount), one.currency) for one in taken.transfers]
    assert found == [(p.id, p.account, decimal(p.amount_minor, p.currency), p.currency) for p in payouts]


@pytest.mark.parametrize("form", FORMATS)
def test_the_same_payouts_are_the_same_file(form: Format) -> None:
    assert payout_file([a_payout()], DEBTOR, form, ZONES) == payout_file([a_payout()], DEBTOR, form, ZONES)


@pytest.mark.parametrize("form", FORMATS)
def test_a_file_that_says_something_else_does_not_leave(form: Format, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = payout_files.decimal
    told: list[int] = []

    def wrong_once(amount_minor: int, currency: str) -> str:
        told.append(amount_minor)
        return honest(amount_minor + (len(told) == 1), currency)

    monkeypatch.setattr(payout_files, "decimal", wrong_once)
    with pytest.raises(WrongFile):
        payout_file([a_payout()], DEBTOR, form, ZONES)


@pytest.mark.parametrize("form", PAIN)
@pytest.mark.parametrize(
    ("zones", "day"),
    [
        (["Africa/Nairobi"], "2026-11-30"),
        (["Africa/Abidjan", "Africa/Porto-Novo"], "2026-11-29"),
        (["Africa/Abidjan", "Africa/Nairobi"], "2026-11-30"),
        ([], "2026-11-29"),
    ],
)
def test_the_day_to_pay_is_that_of_the_currencys_country(form: Format, zones: list[str], day: str) -> None:
    at_night_ms = 1_795_991_400_000  # 22:30 UTC, 01:30 in Nairobi.
    content = payout_file([a_payout(changed_at_ms=at_night_ms)], DEBTOR, form, {ZoneInfo(zone) for zone in zones})
    wanted = f"<ReqdExctnDt>{day}<" if form == "pain.001.001.03" else f"<ReqdExctnDt><Dt>{day}<"
    assert wanted.encode() in content and b"<CreDtTm>2026-11-29T22:30:00.000Z<" in content


# A name, an account and a BIC of which each may be what a bank takes, or not.
NAMES = st.text(max_size=75) | st.text(st.characters(categories=["L", "N", "P", "Z"]), min_size=1, max_size=70)
ACCOUNTS = (
    st.sampled_from(["1100", "DE89370400440532013000"]) | st.text(max_size=36) | st.from_regex(r"\A[A-Z0-9./-]+\Z")
)
BICS = st.sampled_from(["", "KCBLKENX", "COBADEFFXXX"]) | st.from_regex(r"\A[A-Z0-9]{8}\Z")


@pytest.mark.parametrize("form", PAIN)
def test_whoever_is_paid_the_file_is_valid_or_is_not_made(form: Format) -> None:
    schema = xmlschema.XMLSchema(str(resources.files("sepaxml") / "schemas" / f"{form}.xsd"))
    made = 0

    @settings(max_examples=100, deadline=None, database=None)
    @given(name=NAMES, account=ACCOUNTS, bic=BICS)
    @example(name="Asha", account="1100", bic="")
    def pay(name: str, account: str, bic: str) -> None:
        nonlocal made
        try:
            content = payout_file([a_payout(account_name=name, account=account, bic=bic)], DEBTOR, form, ZONES)
        except WrongFile:
            return
        schema.validate(content.decode())
        made += 1

    pay()
    assert made


@pytest.mark.parametrize(
    "wrong", [{"account_name": ""}, {"account_name": "Asha\x0bLtd"}, {"account": "1" * 35}, {"bic": "x y"}], ids=repr
)
@pytest.mark.parametrize("form", FORMATS)
def test_for_an_account_that_no_bank_takes_there_is_no_file(form: Format, wrong: dict[str, str]) -> None:
    with pytest.raises(WrongFile, match=a_payout().id):
        payout_file([a_payout(2), msgspec.structs.replace(a_payout(), **wrong)], DEBTOR, form, ZONES)


@pytest.mark.parametrize("wrong", [{"name": ""}, {"account": "DE88370400440532013000"}, {"bic": "x"}], ids=repr)
def test_from_an_account_that_no_bank_knows_there_is_no_file(wrong: dict[str, str]) -> None:
    with pytest.raises(WrongFile, match="the debtor"):
        payout_file([a_payout()], msgspec.structs.replace(DEBTOR, **wrong), "csv", ZONES)


LINE = {"id": "po_1", "amount": "1250.50", "currency": "KES", "reason": "AC01", "file_id": "pof_1"}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("ACSC", PayoutState.PAID),
        ("RJCT", PayoutState.FAILED),
        ("RTRN", PayoutState.RETURNED),
        ("UNKN", PayoutState.UNKNOWN),
        ("something new", PayoutState.UNKNOWN),
    ],
)
def test_only_an_explicit_word_ends_a_payout(status: str, state: PayoutState) -> None:
    as_json = msgspec.json.encode({"payments": [LINE | {"status": status}]})
    as_csv = f"id,status,amount,currency,reason,file_id\npo_1,{status},1250.50,KES,AC01,pof_1\n".encode()
    meant = BankWord(
        payout_id="po_1", state=state, amount_minor=125_050, currency="KES", detail=f"{status} AC01", file_id="pof_1"
    )
    assert read_report(as_json) == read_report(as_csv) == [meant]


def test_a_file_that_was_received_is_no_news() -> None:
    assert read_report(msgspec.json.encode({"payments": [LINE | {"status": "ACSP"}]})) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "truncated"),
        (b'{"payments": [{}]}', "required field `id`"),
        (b"id,status\npo_1,ACSC\n", "with the columns id, status, amount, currency"),
        (b"id,status,amount,currency\npo_1,ACSC,1,KES,a,b,c\n", "Expected `str`"),
        (b"id,status\n" + b"1" * 200_000, "expected a table in CSV"),
        (b"id,status,amount,currency\npo_1,ACSC,1,SHELLS\n", "expected an amount, got '1' 'SHELLS'"),
        # Read as a table without rows, these would say nothing, and whoever gave them believes that all was heard.
        (b"", "expected a table in CSV with the columns id"),
        (b'[{"id": "po_1", "status": "RJCT", "amount": "1.00", "currency": "KES"}]', "or JSON with `payments`"),
        (b"<Document><CstmrPmtStsRpt><OrgnlEndToEndId>po_1</OrgnlEndToEndId></CstmrPmtStsRpt></Document>", "or JSON"),
    ],
)
def test_what_is_no_report_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_report(content)


@pytest.mark.parametrize("amount", ["x", "1.005", "", "Infinity", "NaN", "1e5", "-1", "१", "9" * 99])
def test_an_amount_that_is_none_is_refused(amount: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        read_report(msgspec.json.encode({"payments": [LINE | {"status": "ACSC", "amount": amount}]}))
