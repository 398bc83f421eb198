"""The message centre: takes texts for phones, hands phones' texts and receipts to ESMEs, and hands them out again until
they are acknowledged.

Octets, sessions and sockets are in `smsc_link`; here is what happens to messages. An MO leaves the queue only when an
ESME has answered ESME_ROK or refused it for good; a lost answer, a dead link and a temporary error bring it back.
"""

import asyncio
import itertools
from collections import deque
from datetime import UTC, datetime
from typing import Protocol

from simulators.faults import Fault, FaultPlan, seconds_of
from simulators.journal import Journal
from simulators.smsc_link import Link
from simulators.smsc_messages import (
    Deliver,
    Joiner,
    Message,
    State,
    Submit,
    expiry_of,
    message_id,
    mo_parts,
    msisdn_of,
    receipt_of,
    split_header,
)
from simulators.smsc_settings import SmscSettings
from simulators.ussd_smpp import TLV_OP, SmppWay
from simulators.web import LOOPBACK

MESSAGES_MAX = 200_000
WAITING_MAX = 200_000

ROK, INVALID_DESTINATION, SYSTEM_ERROR, QUEUE_FULL, THROTTLED = 0x00, 0x0B, 0x08, 0x14, 0x58
INVALID_VALIDITY, CANCEL_FAILED = 0x62, 0x11
INVALID_PASSWORD, INVALID_SYSTEM_ID, TOO_MANY_BINDS, BIND_FAILED = 0x0E, 0x0F, 0x05, 0x0D
# ESME_RX_P_APPN and ESME_RX_R_APPN: the ESME will never take it.
REFUSED_FOR_GOOD = frozenset({0x65, 0x66})
REFUSALS = {"throttle": THROTTLED, "queue_full": QUEUE_FULL, "system_error": SYSTEM_ERROR}
REGISTERED_MASK, REGISTERED_FAILURE = 3, 2


class Phones(Protocol):
    """Where a text ends."""

    def receive(self, msisdn: str, sender: str, text: str) -> None: ...


class Account:
    """One ESME by its system_id: its links, and what waits for it."""

    def __init__(self, system_id: str) -> None:
        self.system_id = system_id
        self.links: list[Link] = []
        self.waiting: deque[Deliver] = deque()
        self._turn = 0

    def receiving_link(self) -> Link | None:
        """The next link with room, in turn."""
        for offset in range(len(self.links)):
            link = self.links[(self._turn + offset) % len(self.links)]
            if link.can_receive and link.has_room:
                self._turn = (self._turn + offset + 1) % len(self.links)
                return link
        return None


class Smsc:
    """The message centre behind all links."""

    def __init__(self, settings: SmscSettings, plan: FaultPlan, journal: Journal, *, phones: Phones) -> None:
        self.settings = settings
        self.journal = journal
        self.port = 0
        self.ussd: SmppWay | None = None
        self._plan = plan
        self._phones = phones
        self._accounts = {system_id: Account(system_id) for system_id in settings.accounts}
        self._first_account = next(iter(self._accounts.values()))
        self._routes: dict[str, Account] = {}
        """Short code to the account that last sent from it."""
        self._numbers = itertools.count(settings.first_message_number)
        self._mo_numbers = itertools.count(1)
        self._messages: dict[str, Message] = {}
        self._joiner = Joiner()
        self._links: set[Link] = set()
        self._server: asyncio.Server | None = None
        self._is_stopping = False
        self._refusal = ROK
        self._refused_until = 0.0

    async def start(self, port: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Link(self), LOOPBACK, port, backlog=128)
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        self._is_stopping = True
        if self._server is not None:
            self._server.close()
        for link in tuple(self._links):
            await link.unbind_and_close()
        if self._server is not None:
            await self._server.wait_closed()

    def reset(self) -> None:
        self._refused_until = 0.0
        self._messages.clear()
        self._routes.clear()
        self._joiner = Joiner()
        for account in self._accounts.values():
            account.waiting.clear()

    def drop_links(self) -> int:
        """End every connection with RST, as a failing network does; how many there were."""
        links = tuple(self._links)
        for link in links:
            link.reset()
        return len(links)

    def refuse_binds(self, seconds: float, status: int = BIND_FAILED) -> None:
        """Answer every bind with *status* for a while; 0 seconds lifts it."""
        self._refusal = status
        self._refused_until = asyncio.get_running_loop().time() + seconds

    def standing(self) -> dict[str, int]:
        accounts = self._accounts.values()
        return {
            "links": sum(len(account.links) for account in accounts),
            "waiting": sum(len(account.waiting) for account in accounts),
            "messages": len(self._messages),
        }

    def opened(self, link: Link) -> None:
        self._links.add(link)

    def closed(self, link: Link, unanswered: list[Deliver]) -> None:
        """The link is gone; what it had not acknowledged waits for the next, ahead of everything newer."""
        self._links.discard(link)
        account = self._accounts.get(link.system_id)
        if account is None:
            return
        if link in account.links:
            account.links.remove(link)
        self.journal.write("closed", system_id=link.system_id, unanswered=len(unanswered))
        for deliver in reversed(unanswered):
            self._again(account, deliver, "link closed", at_once=True)
        self._pump(account)

    def bind(self, link: Link, system_id: str, password: str) -> int:
        """The status to answer a bind with."""
        if asyncio.get_running_loop().time() < self._refused_until:
            return self._refusal
        wanted = self.settings.accounts.get(system_id)
        if wanted is None:
            return INVALID_SYSTEM_ID
        if wanted != password:
            return INVALID_PASSWORD
        account = self._accounts[system_id]
        if len(account.links) >= self.settings.binds_max:
            return TOO_MANY_BINDS
        return ROK

    def bound(self, link: Link) -> None:
        """The bind was answered ESME_ROK; what waited may go."""
        account = self._accounts[link.system_id]
        account.links.append(link)
        self._pump(account)

    def hand_out(self, deliver: Deliver) -> None:
        """A deliver_sm of the network's, to the account that it names."""
        self._queue(deliver)

    def submit(self, link: Link, submit: Submit) -> None:
        if self.ussd is not None and TLV_OP in submit.tlvs:
            self._show(link, submit, self.ussd)
            return
        msisdn = msisdn_of(submit)
        fault = self._plan.pick("smsc.submit", msisdn)
        name = fault.name if fault else ""
        status, now = REFUSALS.get(name, ROK), datetime.now(UTC)
        expires: datetime | None = None
        if not msisdn.startswith("+"):
            status = INVALID_DESTINATION
        try:
            expires = expiry_of(submit.validity, now)
        except ValueError:
            status = INVALID_VALIDITY
        if status != ROK:
            self._journal_submit(submit, msisdn, status, "", name)
            link.respond(submit, status)
            return
        message = self._accept(submit, msisdn, now, expires)
        shown = message_id(message.number, self.settings.message_ids)
        self._journal_submit(submit, msisdn, ROK, shown, name)
        self._send_on(message, name)
        self._respond(link, submit, shown, fault)

    def _show(self, link: Link, submit: Submit, ussd: SmppWay) -> None:
        status, delay_s = ussd.submitted(submit)
        self.journal.write(
            "screen", system_id=submit.system_id, sequence=submit.sequence, msisdn=msisdn_of(submit), status=status
        )
        if status is None:
            return
        shown = message_id(next(self._numbers), self.settings.message_ids)
        if delay_s:
            asyncio.get_running_loop().call_later(delay_s, link.respond, submit, status, shown)
        else:
            link.respond(submit, status, shown)

    def _send_on(self, message: Message, fault: str) -> None:
        """Towards the phone, in the loop's next turn: the response is written ahead of what the phone says at once."""
        loop = asyncio.get_running_loop()
        if fault == "undeliverable":
            loop.call_soon(self._end, message, State.UNDELIVERABLE)
        elif fault != "absent":
            loop.call_soon(self._arrive, message)
        elif message.expires is not None:
            loop.call_later((message.expires - message.accepted).total_seconds(), self._expire, message)

    def _journal_submit(self, submit: Submit, msisdn: str, status: int, shown: str, fault: str) -> None:
        self.journal.write(
            "submit",
            system_id=submit.system_id,
            sequence=submit.sequence,
            source=submit.source,
            msisdn=msisdn,
            octets=len(submit.octets),
            status=status,
            message_id=shown,
            fault=fault or None,
        )

    def _accept(self, submit: Submit, msisdn: str, now: datetime, expires: datetime | None) -> Message:
        part, body = split_header(submit)
        message = Message(
            number=next(self._numbers),
            system_id=submit.system_id,
            source=submit.source,
            msisdn=msisdn,
            registered=submit.registered,
            data_coding=submit.data_coding,
            body=body,
            part=part,
            accepted=now,
            expires=expires,
        )
        if len(self._messages) >= MESSAGES_MAX:
            del self._messages[next(iter(self._messages))]
        self._messages[message_id(message.number, self.settings.message_ids)] = message
        self._routes[submit.source] = self._accounts[submit.system_id]
        return message

    def _respond(self, link: Link, submit: Submit, shown: str, fault: Fault | None) -> None:
        loop, settings = asyncio.get_running_loop(), self.settings
        name = fault.name if fault else ""
        if name == "no_response":
            return
        if name == "late_response":
            loop.call_later(seconds_of(fault, settings.late_response_s), link.respond, submit, ROK, shown)
        elif name == "receipt_first":
            loop.call_later(seconds_of(fault, settings.receipt_lead_s), link.respond, submit, ROK, shown)
        elif name == "half_pdu":
            link.respond_half(submit, shown)
        elif name == "garbage":
            link.send_raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        elif name == "reset":
            link.reset()
        elif name == "freeze":
            link.freeze(seconds_of(fault, settings.freeze_s))
        else:
            link.respond(submit, ROK, shown)

    def _arrive(self, message: Message) -> None:
        if message.state is not State.ENROUTE:
            return
        if message.expires is not None and message.expires <= datetime.now(UTC):
            self._end(message, State.EXPIRED)
            return
        text = self._joiner.add(message)
        self._end(message, State.DELIVERED)
        if text is not None:
            self._phones.receive(message.msisdn, message.source, text)

    def _expire(self, message: Message) -> None:
        if message.state is State.ENROUTE:
            self._end(message, State.EXPIRED)

    def _end(self, message: Message, state: State) -> None:
        message.state, message.ended = state, datetime.now(UTC)
        is_wanted = message.registered & REGISTERED_MASK
        if is_wanted == 0 or (is_wanted == REGISTERED_FAILURE and state is State.DELIVERED):
            return
        fault = self._plan.pick("smsc.receipt", message.msisdn)
        name = fault.name if fault else ""
        if name == "never":
            self.journal.write("receipt.lost", number=message.number, msisdn=message.msisdn)
            return
        delay_s = self.settings.receipt_delay_s
        if name == "late":
            delay_s = seconds_of(fault, self.settings.receipt_late_s)
        for _ in range(1 + (name == "twice")):
            self._queue_later(delay_s, receipt_of(message, self.settings.message_ids))

    def query(self, link: Link, shown: str) -> Message | None:
        return self._of_account(link, shown)

    def cancel(self, link: Link, shown: str) -> int:
        message = self._of_account(link, shown)
        if message is None or message.state is not State.ENROUTE:
            return CANCEL_FAILED
        self._end(message, State.DELETED)
        return ROK

    def _of_account(self, link: Link, shown: str) -> Message | None:
        message = self._messages.get(shown)
        return message if message is not None and message.system_id == link.system_id else None

    def send_mo(self, msisdn: str, to: str, text: str) -> None:
        """A phone sends a text."""
        number = next(self._mo_numbers)
        account = self._routes.get(to, self._first_account)
        fault = self._plan.pick("smsc.mo", msisdn)
        name = fault.name if fault else ""
        self.journal.write("mo", number=number, msisdn=msisdn, to=to, text=text, fault=name or None)
        if name == "lost":
            return
        for _ in range(1 + (name == "twice")):
            for deliver in mo_parts(number=number, system_id=account.system_id, msisdn=msisdn, to=to, text=text):
                self._queue(deliver)

    def _queue_later(self, delay_s: float, deliver: Deliver) -> None:
        """In the loop's next turn at the earliest: the response that caused it is written ahead of it."""
        loop = asyncio.get_running_loop()
        if delay_s > 0:
            loop.call_later(delay_s, self._queue, deliver)
        else:
            loop.call_soon(self._queue, deliver)

    def _queue(self, deliver: Deliver) -> None:
        account = self._accounts[deliver.system_id]
        if self._is_stopping or len(account.waiting) >= WAITING_MAX:
            self.journal.write(f"{deliver.kind}.abandoned", number=deliver.number, attempts=deliver.attempts)
            return
        account.waiting.append(deliver)
        self._pump(account)

    def room_again(self, link: Link) -> None:
        """The link can take another deliver_sm."""
        account = self._accounts.get(link.system_id)
        if account is not None and account.waiting:
            self._pump(account)

    def _pump(self, account: Account) -> None:
        while account.waiting and (link := account.receiving_link()) is not None:
            deliver = account.waiting.popleft()
            deliver.attempts += 1
            sequence = link.deliver(deliver)
            self.journal.write(
                f"{deliver.kind}.handed",
                number=deliver.number,
                attempt=deliver.attempts,
                sequence=sequence,
                source=deliver.source,
                destination=deliver.destination,
            )

    def answered(self, link: Link, deliver: Deliver, status: int) -> None:
        """An ESME has answered a deliver_sm."""
        self.journal.write(f"{deliver.kind}.answered", number=deliver.number, attempt=deliver.attempts, status=status)
        account = self._accounts[deliver.system_id]
        if status != ROK and status not in REFUSED_FOR_GOOD:
            self._again(account, deliver, f"status {status:#x}")
        self.room_again(link)

    def unanswered(self, link: Link, deliver: Deliver) -> None:
        """The response timer of a deliver_sm has run out."""
        self._again(self._accounts[deliver.system_id], deliver, "no response")

    def _again(self, account: Account, deliver: Deliver, why: str, *, at_once: bool = False) -> None:
        if deliver.attempts >= self.settings.attempts_max:
            self.journal.write(f"{deliver.kind}.abandoned", number=deliver.number, attempts=deliver.attempts, why=why)
        elif at_once:
            account.waiting.appendleft(deliver)
        else:
            self._queue_later(self.settings.retry_delay_s, deliver)
