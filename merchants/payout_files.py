"""Files by which a bank pays merchants: CSV, and ISO 20022 credit transfers (pain.001.001.03 and .09).

The payout's id is the end-to-end id and the file's id the message id, so a file that is handed over twice is the same
file; the end of its id says for which debtor and in which form it was written. Before a file leaves, it is read again
and its count and sum are compared with the payouts.
"""

import csv
import hashlib
import io
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Literal
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import msgspec

from gateway.core.bank_accounts import account_mistakes, is_iban
from gateway.core.ids import ALPHABET
from gateway.core.money import exponent
from gateway.core.public import rfc3339
from gateway.store.payouts import Payout

Format = Literal["csv", "pain.001.001.03", "pain.001.001.09"]
FORMATS: Final[tuple[Format, ...]] = ("csv", "pain.001.001.03", "pain.001.001.09")
PAYOUTS_MAX: Final = 10_000
CSV_COLUMNS: Final = ("id", "amount", "currency", "account_name", "account", "bic", "file_id")


class Debtor(msgspec.Struct, frozen=True, kw_only=True):
    """Whose account pays."""

    name: str
    account: str
    bic: str


class WrongFile(Exception):
    """What is to be written no bank would take, or what was written does not say what was meant."""


def payout_file(payouts: Sequence[Payout], debtor: Debtor, form: Format, zones: Collection[ZoneInfo]) -> bytes:
    """The file for *payouts*, all of one currency and file. Raise WrongFile.

    *zones*: where the currency is used; the latest day there is the one on which the bank is to pay. None is UTC.
    """
    assert payouts and len({(one.currency, one.file_id) for one in payouts}) == 1, "expected one file of one currency"
    _expect_accounts(payouts, debtor)
    content = _csv(payouts) if form == "csv" else _pain(payouts, debtor, form, zones)
    _compare(_read_csv(content) if form == "csv" else _read_pain(content), payouts)
    return content


def file_mark(debtor: Debtor, form: Format) -> str:
    """Four characters that differ for another debtor and another form: the end of the file's id.

    A bank knows a file that it has by its id, but need not know a pain.001 in a CSV, or the order of another account.
    """
    said = f"{debtor.name}\n{debtor.account}\n{debtor.bic}\n{form}"
    number = int.from_bytes(hashlib.blake2s(said.encode(), digest_size=4).digest(), "big")
    return "".join(ALPHABET[number >> shift & 31] for shift in (15, 10, 5, 0)).lower()


def _expect_accounts(payouts: Sequence[Payout], debtor: Debtor) -> None:
    """An account is checked when it is agreed on; what was kept before that is checked here."""
    whose = {one.id: (one.account_name, one.account, one.bic) for one in payouts}
    whose["the debtor"] = (debtor.name, debtor.account, debtor.bic)
    for owner, (name, account, bic) in whose.items():
        for field, mistake in account_mistakes(name=name, account=account, bic=bic).items():
            raise WrongFile(f"{owner}: {field}: {mistake}")


def decimal(amount_minor: int, currency: str) -> str:
    """As banks write it: 1250.00."""
    return str(Decimal(amount_minor).scaleb(-exponent(currency)))


def _csv(payouts: Sequence[Payout]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    for one in payouts:
        amount = decimal(one.amount_minor, one.currency)
        writer.writerow((one.id, amount, one.currency, one.account_name, one.account, one.bic, one.file_id))
    return text.getvalue().encode()


def _pain(payouts: Sequence[Payout], debtor: Debtor, form: Format, zones: Collection[ZoneInfo]) -> bytes:
    root = ET.Element("Document", xmlns=f"urn:iso:std:iso:20022:tech:xsd:{form}")
    transfer = ET.SubElement(root, "CstmrCdtTrfInitn")
    file_id, at_ms = str(payouts[0].file_id), max(one.changed_at_ms for one in payouts)
    total = decimal(sum(one.amount_minor for one in payouts), payouts[0].currency)
    head = ET.SubElement(transfer, "GrpHdr")
    _texts(head, ("MsgId", file_id), ("CreDtTm", rfc3339(at_ms)), ("NbOfTxs", str(len(payouts))), ("CtrlSum", total))
    _texts(ET.SubElement(head, "InitgPty"), ("Nm", debtor.name))
    batch = ET.SubElement(transfer, "PmtInf")
    _texts(batch, ("PmtInfId", file_id), ("PmtMtd", "TRF"), ("NbOfTxs", str(len(payouts))), ("CtrlSum", total))
    day = ET.SubElement(batch, "ReqdExctnDt")
    if form == "pain.001.001.03":
        day.text = _day(at_ms, zones)
    else:
        _texts(day, ("Dt", _day(at_ms, zones)))
    _texts(ET.SubElement(batch, "Dbtr"), ("Nm", debtor.name))
    _account(ET.SubElement(batch, "DbtrAcct"), debtor.account)
    _agent(batch, "DbtrAgt", debtor.bic, form)
    for one in payouts:
        _transaction(batch, one, form)
    content: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return content


def _day(at_ms: int, zones: Collection[ZoneInfo]) -> str:
    """Banks may refuse a day that is over where they are, as that of UTC is on a morning in Nairobi."""
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return max((at.astimezone(zone).date() for zone in zones), default=at.date()).isoformat()


def _transaction(batch: ET.Element, payout: Payout, form: Format) -> None:
    one = ET.SubElement(batch, "CdtTrfTxInf")
    _texts(ET.SubElement(one, "PmtId"), ("InstrId", payout.id), ("EndToEndId", payout.id))
    amount = ET.SubElement(ET.SubElement(one, "Amt"), "InstdAmt", Ccy=payout.currency)
    amount.text = decimal(payout.amount_minor, payout.currency)
    if payout.bic:
        _agent(one, "CdtrAgt", payout.bic, form)
    _texts(ET.SubElement(one, "Cdtr"), ("Nm", payout.account_name))
    _account(ET.SubElement(one, "CdtrAcct"), payout.account)


def _agent(parent: ET.Element, name: str, bic: str, form: Format) -> None:
    agent = ET.SubElement(ET.SubElement(parent, name), "FinInstnId")
    if bic:
        _texts(agent, ("BIC" if form == "pain.001.001.03" else "BICFI", bic))
    else:
        _texts(ET.SubElement(agent, "Othr"), ("Id", "NOTPROVIDED"))


def _account(parent: ET.Element, account: str) -> None:
    identifier = ET.SubElement(parent, "Id")
    if is_iban(account):
        _texts(identifier, ("IBAN", account))
    else:
        _texts(ET.SubElement(identifier, "Othr"), ("Id", account))


def _texts(parent: ET.Element, *named: tuple[str, str]) -> None:
    for name, text in named:
        ET.SubElement(parent, name).text = text


class _Reread(msgspec.Struct, frozen=True):
    """What another reader finds in a file."""

    count: int
    total: Decimal
    transfers: dict[str, Decimal]


def _read_csv(content: bytes) -> _Reread:
    lines = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    transfers = {line["id"]: Decimal(line["amount"]) for line in lines}
    return _Reread(len(lines), sum(transfers.values(), Decimal()), transfers)


def _read_pain(content: bytes) -> _Reread:
    # Our own words just now: nothing in them is foreign.
    root = ET.fromstring(content)
    head = root.find("{*}CstmrCdtTrfInitn/{*}GrpHdr")
    assert head is not None, "a file without a head"
    transfers = {
        one.findtext("{*}PmtId/{*}EndToEndId", ""): Decimal(one.findtext("{*}Amt/{*}InstdAmt", "0"))
        for one in root.iter("{" + root.tag[1:].partition("}")[0] + "}CdtTrfTxInf")
    }
    return _Reread(int(head.findtext("{*}NbOfTxs", "0")), Decimal(head.findtext("{*}CtrlSum", "0")), transfers)


def _compare(found: _Reread, payouts: Sequence[Payout]) -> None:
    meant = {one.id: Decimal(decimal(one.amount_minor, one.currency)) for one in payouts}
    total = sum(meant.values(), Decimal())
    if (found.count, found.total, found.transfers) != (len(payouts), total, meant):
        raise WrongFile(f"expected {len(payouts)} transfers of {total}, wrote {found.count} of {found.total}")
