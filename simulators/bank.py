"""A bank that takes files of credit transfers, pays, rejects or returns them, and reports in the codes of pain.002.

`POST /files` takes CSV or pain.001 and answers 202 with the file's id; the same file again is paid once. `GET
/files/{id}/status` says how it stands (`?format=csv` for CSV), `POST /files/{id}/returns` lets the returns come. The
end of the creditor's account decides what happens: see `ENDINGS`.
"""

import csv
import io
from dataclasses import dataclass, field
from decimal import Decimal
from xml.etree import ElementTree as ET

import msgspec
from aiohttp import web

from simulators.web import BODY_BYTES_MAX, HttpServer, json_response

ENDINGS = {
    "901": ("RJCT", "AC01"),
    "902": ("ACSC", ""),  # and returned when the returns come
    "903": ("UNKN", "no answer from the creditor's bank"),
}
PAID = ("ACSC", "")
RETURNED = ("RTRN", "AC04")
RETURNING = "902"


@dataclass
class Transfer:
    """One credit transfer and what became of it."""

    id: str
    account: str
    amount: Decimal
    currency: str
    status: str
    reason: str


@dataclass
class TakenFile:
    """A file that was taken."""

    id: str
    transfers: list[Transfer] = field(default_factory=list)


class NotReadable(Exception):
    """The file is none that this bank takes."""


class Bank:
    """The bank and its port. `paid` is its own truth: by transfer, what was moved, and not moved back."""

    def __init__(self) -> None:
        self.files: dict[str, TakenFile] = {}
        self.paid: dict[str, Decimal] = {}
        self.server = HttpServer(self._handle)

    def take(self, content: bytes) -> TakenFile:
        """Take a file. A file id or a transfer that is known already moves no money again. Raise NotReadable."""
        taken = read_file(content)
        if taken.id in self.files:
            return self.files[taken.id]
        self.files[taken.id] = taken
        for one in taken.transfers:
            if one.status == "ACSC":
                self.paid.setdefault(one.id, one.amount)
        return taken

    def return_some(self, file_id: str) -> None:
        """Bring back what the creditors' banks did not keep."""
        for one in self.files[file_id].transfers:
            if one.account.endswith(RETURNING) and one.status == "ACSC":
                one.status, one.reason = RETURNED
                del self.paid[one.id]

    def settle_unknown(self, file_id: str, status: str) -> None:
        """What became of the transfers about which nothing was known."""
        for one in self.files[file_id].transfers:
            if one.status == "UNKN":
                one.status, one.reason = status, ""
                if status == "ACSC":
                    self.paid[one.id] = one.amount

    def report(self, file_id: str) -> list[dict[str, str]]:
        """A line a transfer."""
        return [
            {
                "id": one.id,
                "status": one.status,
                "amount": str(one.amount),
                "currency": one.currency,
                "reason": one.reason,
                "file_id": file_id,
            }
            for one in self.files[file_id].transfers
        ]

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        match (request.method, *request.path.strip("/").split("/")):
            case ("POST", "files"):
                content = await request.content.read(BODY_BYTES_MAX)
                try:
                    taken = self.take(content)
                except NotReadable as error:
                    return json_response(msgspec.json.encode({"error": str(error)}), 400)
                return json_response(msgspec.json.encode({"file_id": taken.id}), 202)
            case ("GET", "files", file_id, "status") if file_id in self.files:
                return self._status(file_id, request.query.get("format", "json"))
            case ("POST", "files", file_id, "returns") if file_id in self.files:
                self.return_some(file_id)
                return self._status(file_id, "json")
        return json_response(b"{}", 404)

    def _status(self, file_id: str, form: str) -> web.Response:
        lines = self.report(file_id)
        if form != "csv":
            return json_response(msgspec.json.encode({"file_id": file_id, "payments": lines}))
        text = io.StringIO()
        writer = csv.DictWriter(text, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
        return web.Response(text=text.getvalue(), content_type="text/csv")


def read_file(content: bytes) -> TakenFile:
    """Raise NotReadable."""
    try:
        return _pain(content) if content.lstrip().startswith(b"<") else _csv(content)
    except (ET.ParseError, KeyError, ArithmeticError, UnicodeDecodeError) as error:
        raise NotReadable(f"no file of transfers: {error!r}") from error


def _csv(content: bytes) -> TakenFile:
    lines = list(csv.DictReader(io.StringIO(content.decode(), newline="")))
    if not lines:
        raise NotReadable("no transfers")
    transfers = [_transfer(line["id"], line["account"], line["amount"], line["currency"]) for line in lines]
    return TakenFile(lines[0]["file_id"], transfers)


def _pain(content: bytes) -> TakenFile:
    if b"<!" in content:  # No document type: entities are how such files attack.
        raise NotReadable("a document type is not taken")
    root = ET.fromstring(content)
    transfers = []
    for one in root.iterfind(".//{*}CdtTrfTxInf"):
        amount = one.find("{*}Amt/{*}InstdAmt")
        iban = one.findtext("{*}CdtrAcct/{*}Id/{*}IBAN", "")
        account = iban or one.findtext("{*}CdtrAcct/{*}Id/{*}Othr/{*}Id", "")
        if amount is None or not amount.text:
            raise NotReadable("a transfer without an amount")
        transfers.append(
            _transfer(one.findtext("{*}PmtId/{*}EndToEndId", ""), account, amount.text, amount.attrib["Ccy"])
        )
    total = Decimal(root.findtext(".//{*}GrpHdr/{*}CtrlSum", "0"))
    if total != sum(one.amount for one in transfers):
        raise NotReadable("the control sum is wrong")
    return TakenFile(root.findtext(".//{*}GrpHdr/{*}MsgId", ""), transfers)


def _transfer(transfer_id: str, account: str, amount: str, currency: str) -> Transfer:
    status, reason = ENDINGS.get(account[-3:], PAID)
    return Transfer(transfer_id, account, Decimal(amount), currency, status, reason)
