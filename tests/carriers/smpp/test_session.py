"""Two sessions joined back to back, no socket and no clock: a bind's whole life, and everything a peer can do wrong."""

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carriers.smpp.wire.codec import Framer, Pdu, ProtocolError, decode, encode
from carriers.smpp.wire.events import Event
from carriers.smpp.wire.receipt import ReceiptState, build_receipt_text, build_receipt_tlvs, read_receipt
from carriers.smpp.wire.session import (
    BindRefused,
    BindRequested,
    Bound,
    LateResponse,
    LinkBroken,
    Nacked,
    NotBound,
    OutbindReceived,
    ProtocolViolation,
    RequestAbandoned,
    RequestReceived,
    ResponseReceived,
    ResponseTimedOut,
    Role,
    Session,
    SessionSettings,
    State,
    UnbindRequested,
    Unbound,
    WindowFull,
)
from carriers.smpp.wire.tables import BINDS, Status, Tlv
from carriers.smpp.wire.window import SEQUENCE_MAX
from tests.carriers.smpp.golden import GOLDEN

BIND: dict[str, int | bytes] = {"system_id": b"gateway", "password": b"secret"}
TEXT: dict[str, int | bytes] = {"destination_addr": b"254700000001", "short_message": b"hello"}
MO: dict[str, int | bytes] = {"source_addr": b"254700000001", "short_message": b"4821"}
BOUND_STATES = {
    "bind_transmitter": State.BOUND_TX,
    "bind_receiver": State.BOUND_RX,
    "bind_transceiver": State.BOUND_TRX,
}


class Pair:
    """An ESME and an SMSC; octets move when told to."""

    def __init__(self, *, version: int = 0x34, **limits: Any) -> None:
        chosen = SessionSettings(**limits)
        self.esme = Session(Role.ESME, chosen, now=0.0)
        self.smsc = Session(Role.SMSC, chosen, now=0.0)
        self.version = version

    def to_smsc(self, now: float = 0.0) -> list[Event]:
        return self.smsc.receive_data(self.esme.data_to_send(), now)

    def to_esme(self, now: float = 0.0) -> list[Event]:
        return self.esme.receive_data(self.smsc.data_to_send(), now)

    def bound(self, command: str = "bind_transceiver") -> "Pair":
        self.esme.bind(command, {**BIND, "interface_version": self.version}, now=0.0)
        (asked,) = self.to_smsc()
        assert isinstance(asked, BindRequested)
        self.smsc.accept_bind(b"SMSC")
        (answered,) = self.to_esme()
        assert answered == Bound("SMSC", 0x34 if self.version >= 0x34 else None)
        return self


def bound(command: str = "bind_transceiver", **limits: Any) -> Pair:
    return Pair(**limits).bound(command)


def frame(code: int, body: bytes = b"", *, status: int = 0, sequence: int = 1) -> bytes:
    return struct.pack(">IIII", 16 + len(body), code, status, sequence) + body


def said(session: Session) -> list[Pdu]:
    return [decode(octets) for octets in Framer().feed(session.data_to_send())]


def answers(session: Session) -> list[tuple[str, int, int]]:
    return [(pdu.command, pdu.status, pdu.sequence) for pdu in said(session)]


@pytest.mark.parametrize("command", BINDS)
def test_each_kind_of_bind_is_asked_for_and_granted(command: str) -> None:
    pair = bound(command)
    assert pair.esme.state == pair.smsc.state == BOUND_STATES[command]


def test_a_text_its_answer_its_receipt_and_the_phones_reply() -> None:
    pair = bound()
    sequence = pair.esme.submit("submit_sm", TEXT, now=1.0, token="ask")
    (request,) = pair.to_smsc(1.0)
    assert isinstance(request, RequestReceived)
    assert request.pdu.octets("short_message") == b"hello"
    assert pair.smsc.respond(sequence, "submit_sm_resp", fields={"message_id": b"0a"})
    receipt = build_receipt_text("0a", ReceiptState.DELIVERED, submit_date="2601020304", done_date="2601020305")
    pair.smsc.submit(
        "deliver_sm",
        {"esm_class": 4, "short_message": receipt},
        now=1.0,
        tlvs=build_receipt_tlvs("0a", ReceiptState.DELIVERED),
    )
    pair.smsc.submit("deliver_sm", MO, now=1.0, token="mo")
    response, delivered, reply = pair.to_esme(2.0)
    assert isinstance(response, ResponseReceived)
    assert (response.token, response.pdu.octets("message_id")) == ("ask", b"0a")
    assert isinstance(delivered, RequestReceived)
    read = read_receipt(delivered.pdu)
    assert read is not None
    assert (read.message_ids, read.state) == (("a",), ReceiptState.DELIVERED)
    assert isinstance(reply, RequestReceived)
    assert pair.esme.unanswered == 2
    for event in (delivered, reply):
        pair.esme.respond(event.pdu.sequence, "deliver_sm")
    assert pair.esme.unanswered == 0
    assert [event.token for event in pair.to_smsc(2.0) if isinstance(event, ResponseReceived)] == [None, "mo"]


@pytest.mark.parametrize("first", ["esme", "smsc"])
def test_either_side_may_say_goodbye(first: str) -> None:
    pair = bound()
    left, right = (pair.esme, pair.smsc) if first == "esme" else (pair.smsc, pair.esme)
    left.unbind(1.0)
    assert left.state is State.UNBINDING
    assert right.receive_data(left.data_to_send(), 1.0) == [UnbindRequested(), Unbound()]
    assert left.receive_data(right.data_to_send(), 1.0) == [Unbound()]
    assert {left.state, right.state} == {State.CLOSED}
    assert left.receive_data(b"more", 1.0) == []
    assert left.next_deadline() is None
    assert left.advance(99.0) == []


def test_answers_still_go_and_come_while_unbinding() -> None:
    pair = bound()
    pair.smsc.submit("deliver_sm", MO, now=0.0, token="mo")
    pair.esme.submit("submit_sm", TEXT, now=0.0, token="ask")
    (request,) = pair.to_esme()
    (asked,) = pair.to_smsc()
    assert isinstance(asked, RequestReceived)
    assert isinstance(request, RequestReceived)
    pair.esme.unbind(0.0)
    with pytest.raises(NotBound):
        pair.esme.submit("submit_sm", TEXT, now=0.0)
    assert pair.esme.respond(request.pdu.sequence, "deliver_sm")
    pair.smsc.respond(asked.pdu.sequence, "submit_sm", fields={"message_id": b"1"})
    assert [type(event) for event in pair.to_esme()] == [ResponseReceived]
    # unbind was written ahead of the deliver_sm_resp, so that answer finds the session closed.
    assert [type(event) for event in pair.to_smsc()] == [UnbindRequested, RequestAbandoned, Unbound]
    assert [type(event) for event in pair.to_esme()] == [Unbound]


def test_what_is_unanswered_at_the_end_is_abandoned_and_an_answer_is_no_error() -> None:
    pair = bound()
    pair.esme.submit("submit_sm", TEXT, now=0.0, token="ask")
    pair.to_smsc()
    pair.smsc.submit("deliver_sm", MO, now=0.0)
    (request,) = pair.to_esme()
    assert isinstance(request, RequestReceived)
    events = pair.esme.connection_lost("reset by peer")
    assert [type(event) for event in events] == [RequestAbandoned, LinkBroken]
    assert events[0] == RequestAbandoned(2, "ask")
    assert not pair.esme.respond(request.pdu.sequence, "deliver_sm")
    assert pair.esme.connection_lost() == []


def test_an_smsc_may_outbind() -> None:
    pair = Pair()
    pair.smsc.outbind(b"SMSC", b"pw")
    (event,) = pair.to_esme()
    assert isinstance(event, OutbindReceived)
    pair.bound("bind_receiver")


def test_an_alert_needs_no_answer_and_no_room() -> None:
    pair = bound(window=1)
    pair.smsc.submit("deliver_sm", MO, now=0.0)
    pair.smsc.submit("alert_notification", {"source_addr": b"254700000001"}, now=0.0)
    assert [type(event) for event in pair.to_esme()] == [RequestReceived, RequestReceived]
    assert pair.esme.unanswered == 1


def test_an_esme_of_version_3_3_is_sent_no_tlvs_and_loses_no_text() -> None:
    pair = Pair(version=0x33).bound()
    pair.smsc.submit("deliver_sm", MO, now=0.0, tlvs=[(Tlv.MESSAGE_STATE, b"\2")])
    (event,) = pair.to_esme()
    assert isinstance(event, RequestReceived)
    assert event.pdu.tlvs == []
    with pytest.raises(ProtocolError):
        pair.smsc.submit("deliver_sm", {}, now=0.0, tlvs=[(Tlv.MESSAGE_PAYLOAD, b"4821")])
    assert pair.smsc.data_to_send() == b""


def conversation(deliver: Callable[[Session, bytes], list[Event]]) -> tuple[list[Event], list[Event]]:
    """A whole life; *deliver* hands octets over in pieces of its choice. What the ESME and the SMSC saw."""
    pair = Pair()
    esme_saw: list[Event] = []
    smsc_saw: list[Event] = []

    def turn() -> None:
        smsc_saw.extend(deliver(pair.smsc, pair.esme.data_to_send()))
        esme_saw.extend(deliver(pair.esme, pair.smsc.data_to_send()))

    pair.esme.bind("bind_transceiver", BIND, now=0.0)
    turn()
    pair.smsc.accept_bind(b"SMSC")
    turn()
    sequence = pair.esme.submit("submit_sm", TEXT, now=0.0, token="t", tlvs=[(Tlv.SAR_MSG_REF_NUM, b"\0\1")])
    turn()
    pair.smsc.respond(sequence, "submit_sm", fields={"message_id": b"1"})
    number = pair.smsc.submit("deliver_sm", MO, now=0.0, token="mo")
    turn()
    pair.esme.respond(number, "deliver_sm", Status.RX_T_APPN)
    turn()
    pair.smsc.unbind(0.0)
    turn()
    turn()
    assert pair.esme.state is pair.smsc.state is State.CLOSED
    return esme_saw, smsc_saw


def in_one_piece(session: Session, octets: bytes) -> list[Event]:
    return session.receive_data(octets, 0.0)


WHOLE = conversation(in_one_piece)
LONGEST = 90


def test_the_conversation_says_what_it_should() -> None:
    assert [type(event) for event in WHOLE[0]] == [Bound, ResponseReceived, RequestReceived, UnbindRequested, Unbound]
    assert [type(event) for event in WHOLE[1]] == [BindRequested, RequestReceived, ResponseReceived, Unbound]


@pytest.mark.parametrize("cut", range(1, LONGEST))
def test_everything_may_arrive_in_any_two_pieces(cut: int) -> None:
    def in_two(session: Session, octets: bytes) -> list[Event]:
        return session.receive_data(octets[:cut], 0.0) + session.receive_data(octets[cut:], 0.0)

    assert conversation(in_two) == WHOLE


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_everything_may_arrive_in_pieces_of_one_size(size: int) -> None:
    def in_pieces(session: Session, octets: bytes) -> list[Event]:
        parts = [octets[at : at + size] for at in range(0, len(octets), size)]
        return [event for part in parts for event in session.receive_data(part, 0.0)]

    assert conversation(in_pieces) == WHOLE


def test_many_pdus_in_one_piece_are_events_in_their_order() -> None:
    pair = bound(window=20)
    for number in range(20):
        pair.smsc.submit("deliver_sm", {"short_message": str(number).encode()}, now=0.0)
    texts = [event.pdu.octets("short_message") for event in pair.to_esme() if isinstance(event, RequestReceived)]
    assert texts == [str(number).encode() for number in range(20)]


def test_the_window_fills_and_each_answer_makes_room_for_one() -> None:
    pair = bound(window=3)
    numbers = [pair.esme.submit("submit_sm", TEXT, now=0.0) for _ in range(3)]
    assert pair.esme.room == 0
    waiting = len(pair.esme.data_to_send())
    with pytest.raises(WindowFull):
        pair.esme.submit("submit_sm", TEXT, now=0.0)
    assert pair.esme.data_to_send() == b""
    assert waiting
    pair.esme.receive_data(frame(0x80000004, b"1\0", sequence=numbers[1]), 0.0)
    assert pair.esme.room == 1
    pair.esme.submit("submit_sm", TEXT, now=0.0)
    assert pair.esme.room == 0


def test_what_cannot_be_written_takes_no_place_in_the_window() -> None:
    pair = bound(window=1)
    with pytest.raises(ProtocolError):
        pair.esme.submit("submit_sm", {"short_message": b"x" * 255}, now=0.0)
    assert (pair.esme.room, pair.esme.data_to_send()) == (1, b"")


def test_a_peer_that_does_not_read_fills_a_bounded_buffer() -> None:
    pair = bound(window=1000, send_buffer_octets_max=500)
    frames = 0
    while pair.esme.room > 900:
        try:
            pair.esme.submit("submit_sm", TEXT, now=0.0)
        except WindowFull:
            break
        frames += 1
    assert 5 < frames < 20
    assert len(pair.esme.data_to_send()) < 700
    asking = frame(0x15) * 100
    assert [type(event) for event in pair.esme.receive_data(asking, 0.0)][-1] is LinkBroken


def test_no_answer_in_time_is_unknown_and_a_late_one_is_still_told() -> None:
    pair = bound(response_timeout_s=5.0, enquire_link_interval_s=1000.0)
    sequence = pair.esme.submit("submit_sm", TEXT, now=10.0, token="ask")
    assert pair.esme.next_deadline() == 15.0
    assert pair.esme.advance(14.9) == []
    assert pair.esme.advance(15.0) == [ResponseTimedOut(sequence, "ask")]
    assert pair.esme.room == pair.esme.settings.window
    late = frame(0x80000004, b"id\0", sequence=sequence)
    (event,) = pair.esme.receive_data(late, 20.0)
    assert isinstance(event, LateResponse)
    assert (event.token, event.pdu.octets("message_id")) == ("ask", b"id")
    assert pair.esme.receive_data(late, 20.0) == []
    assert pair.esme.stray_responses == 1


def test_a_late_nack_is_a_late_response() -> None:
    pair = bound(response_timeout_s=5.0)
    sequence = pair.esme.submit("submit_sm", TEXT, now=0.0, token="ask")
    pair.esme.advance(5.0)
    (event,) = pair.esme.receive_data(frame(0x80000000, status=3, sequence=sequence), 6.0)
    assert isinstance(event, LateResponse)
    assert (event.pdu.command, event.pdu.status) == ("generic_nack", 3)


def test_what_is_given_up_is_forgotten_in_time_and_in_number() -> None:
    pair = bound(
        response_timeout_s=1.0, late_response_keep_s=60.0, late_responses_max=2, enquire_link_interval_s=10_000.0
    )
    numbers = [pair.esme.submit("submit_sm", TEXT, now=0.0, token=at) for at in range(3)]
    assert len(pair.esme.advance(1.0)) == 3
    assert pair.esme.receive_data(frame(0x80000004, b"1\0", sequence=numbers[0]), 2.0) == []
    (kept,) = pair.esme.receive_data(frame(0x80000004, b"1\0", sequence=numbers[1]), 2.0)
    assert isinstance(kept, LateResponse)
    assert pair.esme.receive_data(frame(0x80000004, b"1\0", sequence=numbers[2]), 61.0) == []
    assert pair.esme.stray_responses == 2


def test_a_sequence_number_in_use_is_not_taken_again_when_they_begin_anew() -> None:
    pair = bound(window=10, response_timeout_s=5.0)
    held = pair.esme.submit("submit_sm", TEXT, now=0.0)
    pair.esme._window._last = SEQUENCE_MAX - 1
    numbers = [pair.esme.submit("submit_sm", TEXT, now=0.0) for _ in range(4)]
    assert numbers == [SEQUENCE_MAX, 1, held + 1, held + 2]


def test_a_silent_link_is_asked_and_an_answer_of_any_kind_keeps_it() -> None:
    pair = bound(enquire_link_interval_s=30.0, enquire_link_timeout_s=10.0)
    assert pair.esme.advance(29.9) == []
    assert pair.esme.data_to_send() == b""
    assert pair.esme.advance(30.0) == []
    assert pair.to_smsc(30.0) == []
    assert pair.to_esme(31.0) == []
    assert pair.esme.next_deadline() == 61.0
    pair.esme.advance(61.0)
    assert [pdu.command for pdu in said(pair.esme)] == ["enquire_link"]
    pair.esme.receive_data(encode(Pdu("deliver_sm", 0, 9, MO)), 62.0)
    assert pair.esme.advance(71.1) == []


def test_a_dead_link_is_given_up() -> None:
    pair = bound(enquire_link_interval_s=30.0, enquire_link_timeout_s=10.0, response_timeout_s=60.0)
    pair.esme.submit("submit_sm", TEXT, now=0.0, token="ask")
    pair.esme.advance(30.0)
    assert pair.esme.next_deadline() == 40.0
    events = pair.esme.advance(40.0)
    assert [type(event) for event in events] == [RequestAbandoned, LinkBroken]
    assert pair.esme.state is State.CLOSED


def test_a_pdu_that_stays_in_pieces_is_not_waited_for_even_if_it_trickles() -> None:
    pair = bound(pdu_read_timeout_s=10.0)
    whole = encode(Pdu("deliver_sm", 0, 9, MO))
    for at, octet in enumerate(whole[:20]):
        pair.esme.receive_data(bytes([octet]), 0.4 * at)
    assert pair.esme.advance(9.9) == []
    assert [type(event) for event in pair.esme.advance(10.0)] == [LinkBroken]


def test_who_connects_and_does_not_bind_is_left() -> None:
    smsc = Session(Role.SMSC, SessionSettings(bind_timeout_s=30.0), now=0.0)
    assert smsc.next_deadline() == 30.0
    assert [type(event) for event in smsc.advance(30.0)] == [LinkBroken]


@pytest.mark.parametrize(("say", "limit"), [("bind", 30.0), ("unbind", 10.0)])
def test_a_bind_or_unbind_without_an_answer_is_left(say: str, limit: float) -> None:
    pair = Pair() if say == "bind" else bound()
    if say == "bind":
        pair.esme.bind("bind_receiver", BIND, now=5.0)
    else:
        pair.esme.unbind(5.0)
    assert pair.esme.next_deadline() == 5.0 + limit
    assert pair.esme.advance(4.9 + limit) == []
    assert [type(event) for event in pair.esme.advance(5.0 + limit)] == [LinkBroken]


def test_a_session_that_was_never_told_the_time_wants_to_be() -> None:
    session = Session(Role.ESME)
    assert session.next_deadline() == 0.0
    assert session.advance(1000.0) == []
    assert session.next_deadline() == 1030.0


@pytest.mark.parametrize("status", [Status.RINVPASWD, Status.RINVSYSID, Status.RALYBND, Status.RBINDFAIL, 0])
def test_a_refused_bind_says_why_and_ends(status: int) -> None:
    pair = Pair()
    pair.esme.bind("bind_transceiver", BIND, now=0.0)
    pair.to_smsc()
    pair.smsc.refuse_bind(status)
    assert pair.to_esme() == [BindRefused(status or Status.RBINDFAIL)]
    assert pair.esme.state is pair.smsc.state is State.CLOSED


@pytest.mark.parametrize("sequence", [0, 1])
@pytest.mark.parametrize("status", [0, 3])
def test_a_nack_of_the_bind_refuses_it(sequence: int, status: int) -> None:
    pair = Pair()
    pair.esme.bind("bind_transceiver", BIND, now=0.0)
    nack = frame(0x80000000, status=status, sequence=sequence)
    assert pair.esme.receive_data(nack, 0.0) == [BindRefused(status or Status.RBINDFAIL)]


def test_what_comes_before_the_bind_is_answered_does_not_answer_it() -> None:
    pair = Pair()
    pair.esme.bind("bind_transceiver", BIND, now=0.0)
    early = encode(Pdu("deliver_sm", 0, 77, MO)) + frame(0x80000009, b"X\0", sequence=99) + frame(0x80000001, b"X\0")
    assert [type(event) for event in pair.esme.receive_data(early, 0.0)] == [ProtocolViolation]
    assert pair.esme.state is State.BINDING
    assert pair.esme.receive_data(frame(0x80000009, b"X\0"), 0.0) == [Bound("X")]


def test_a_bind_answer_without_a_body_is_an_answer() -> None:
    pair = Pair()
    pair.esme.bind("bind_transceiver", BIND, now=0.0)
    assert pair.esme.receive_data(frame(0x80000009), 0.0) == [Bound("")]


def test_a_malformed_bind_is_answered_and_left() -> None:
    smsc = Session(Role.SMSC, now=0.0)
    events = smsc.receive_data(frame(0x09, b"s" * 20 + b"\0" + bytes(8)), 0.0)
    assert [type(event) for event in events] == [ProtocolViolation, LinkBroken]
    assert answers(smsc) == [("bind_transceiver_resp", Status.RINVSYSID, 1)]


def test_a_second_bind_is_already_bound() -> None:
    pair = bound()
    pair.smsc.receive_data(encode(Pdu("bind_receiver", 0, 5, BIND)), 0.0)
    assert answers(pair.smsc) == [("bind_receiver_resp", Status.RALYBND, 5)]
    assert pair.smsc.state is State.BOUND_TRX


REQUESTS = ["submit_sm", "data_sm", "query_sm", "cancel_sm", "replace_sm", "deliver_sm"]
ALLOWED = {
    ("bind_transmitter", Role.SMSC): {"submit_sm", "data_sm", "query_sm", "cancel_sm", "replace_sm"},
    ("bind_receiver", Role.SMSC): {"data_sm"},
    ("bind_transceiver", Role.SMSC): {"submit_sm", "data_sm", "query_sm", "cancel_sm", "replace_sm"},
    ("bind_transmitter", Role.ESME): {"data_sm"},
    ("bind_receiver", Role.ESME): {"deliver_sm", "data_sm"},
    ("bind_transceiver", Role.ESME): {"deliver_sm", "data_sm"},
}


@pytest.mark.parametrize("request_command", REQUESTS)
@pytest.mark.parametrize(("bind", "role"), ALLOWED)
def test_a_request_is_taken_or_refused_by_who_is_bound_how(bind: str, role: Role, request_command: str) -> None:
    pair = bound(bind)
    receiver = pair.smsc if role is Role.SMSC else pair.esme
    (event,) = receiver.receive_data(encode(Pdu(request_command, 0, 50, {})), 0.0)
    if request_command in ALLOWED[bind, role]:
        assert isinstance(event, RequestReceived)
        assert said(receiver) == []
    else:
        assert isinstance(event, ProtocolViolation)
        assert answers(receiver) == [(f"{request_command}_resp", Status.RINVBNDSTS, 50)]


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize("command", [*REQUESTS, "unbind", "enquire_link"])
def test_a_request_before_the_bind_is_refused(role: Role, command: str) -> None:
    session = Session(role, now=0.0)
    (event,) = session.receive_data(encode(Pdu(command, 0, 50, {})), 0.0)
    assert isinstance(event, ProtocolViolation)
    assert answers(session) == [(f"{command}_resp", Status.RINVBNDSTS, 50)]


def test_own_intentions_in_the_wrong_state_are_refused_and_write_nothing() -> None:
    pair = Pair()
    wrong: list[Callable[[], object]] = [
        lambda: pair.esme.submit("submit_sm", TEXT, now=0.0),
        lambda: pair.esme.unbind(0.0),
        lambda: pair.esme.accept_bind(b"X"),
        lambda: pair.esme.outbind(b"X", b"Y"),
        lambda: pair.smsc.bind("bind_receiver", BIND, now=0.0),
        lambda: pair.smsc.refuse_bind(13),
        lambda: pair.esme.bind("submit_sm", BIND, now=0.0),
    ]
    for intention in wrong:
        with pytest.raises(NotBound):
            intention()
    pair = bound()
    again: list[Callable[[], object]] = [
        lambda: pair.esme.bind("bind_receiver", BIND, now=0.0),
        lambda: pair.smsc.accept_bind(b"X"),
        lambda: pair.esme.submit("deliver_sm", MO, now=0.0),
        lambda: pair.smsc.submit("submit_sm", TEXT, now=0.0),
        lambda: pair.smsc.outbind(b"X", b"Y"),
    ]
    for intention in again:
        with pytest.raises(NotBound):
            intention()
    assert pair.esme.data_to_send() + pair.smsc.data_to_send() == b""


def test_only_what_waits_can_be_answered_and_only_once() -> None:
    pair = bound()
    pair.esme.receive_data(encode(Pdu("deliver_sm", 0, 9, MO)), 0.0)
    with pytest.raises(ValueError, match="waits for an answer"):
        pair.esme.respond(8, "deliver_sm")
    with pytest.raises(ValueError, match="waits for an answer"):
        pair.esme.respond(9, "data_sm")
    with pytest.raises(ProtocolError):
        pair.esme.respond(9, "deliver_sm", fields={"message_id": b"x" * 65})
    assert pair.esme.respond(9, "deliver_sm")
    with pytest.raises(ValueError, match="waits for an answer"):
        pair.esme.respond(9, "deliver_sm")
    assert answers(pair.esme) == [("deliver_sm_resp", 0, 9)]


def test_a_peer_may_use_one_sequence_number_twice() -> None:
    pair = bound()
    pair.esme.receive_data(encode(Pdu("deliver_sm", 0, 9, MO)) * 2, 0.0)
    assert pair.esme.respond(9, "deliver_sm")
    assert pair.esme.respond(9, "deliver_sm")
    assert pair.esme.unanswered == 0


@pytest.mark.parametrize(("role", "status"), [(Role.ESME, Status.RX_T_APPN), (Role.SMSC, Status.RTHROTTLED)])
def test_more_than_can_be_held_is_put_off(role: Role, status: int) -> None:
    pair = bound(unanswered_max=2)
    session = pair.esme if role is Role.ESME else pair.smsc
    command = "deliver_sm" if role is Role.ESME else "submit_sm"
    three = b"".join(encode(Pdu(command, 0, number, {})) for number in (1, 2, 3))
    assert [type(event) for event in session.receive_data(three, 0.0)] == [
        RequestReceived,
        RequestReceived,
        ProtocolViolation,
    ]
    assert answers(session) == [(f"{command}_resp", status, 3)]


@pytest.mark.parametrize("length", [0, 4, 15, 65_537, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_bad_length_is_nacked_and_ends_the_session_after_what_was_good(length: int) -> None:
    pair = bound()
    octets = encode(Pdu("deliver_sm", 0, 9, MO)) + struct.pack(">I", length) + bytes(60)
    assert [type(event) for event in pair.esme.receive_data(octets, 0.0)] == [RequestReceived, LinkBroken]
    assert answers(pair.esme) == [("generic_nack", Status.RINVCMDLEN, 0)]


def test_an_unknown_request_is_nacked_and_the_session_goes_on() -> None:
    pair = bound()
    (event,) = pair.esme.receive_data(frame(0x99, b"?", sequence=70), 0.0)
    assert isinstance(event, ProtocolViolation)
    assert answers(pair.esme) == [("generic_nack", Status.RINVCMDID, 70)]
    assert pair.esme.state is State.BOUND_TRX


def test_an_unknown_response_is_dropped() -> None:
    pair = bound()
    assert pair.esme.receive_data(frame(0x80000099, sequence=70), 0.0) == []
    assert (pair.esme.stray_responses, pair.esme.data_to_send()) == (1, b"")


def test_a_broken_body_is_answered_by_the_response_of_its_command() -> None:
    pair = bound()
    pair.esme.receive_data(frame(0x05, b"no end", sequence=70), 0.0)
    pair.smsc.receive_data(frame(0x04, bytes(16) + b"\x09four", sequence=71), 0.0)
    assert answers(pair.esme) == [("deliver_sm_resp", Status.RINVSERTYP, 70)]
    assert answers(pair.smsc) == [("submit_sm_resp", Status.RINVMSGLEN, 71)]
    assert pair.esme.state is pair.smsc.state is State.BOUND_TRX


def test_a_reply_with_a_broken_tlv_is_a_reply() -> None:
    pair = bound()
    octets = encode(Pdu("deliver_sm", 0, 9, MO)) + b"\x14\x03\x00\x09\xaa"
    (event,) = pair.esme.receive_data(struct.pack(">I", len(octets)) + octets[4:], 0.0)
    assert isinstance(event, RequestReceived)
    assert event.pdu.octets("short_message") == b"4821"
    assert event.pdu.tlv_error


@pytest.mark.parametrize("status", [0, Status.RTHROTTLED])
@pytest.mark.parametrize("body", [b"", b"\0", b"id\0", b"no end", b"x" * 70 + b"\0"])
def test_a_response_with_any_body_answers_its_request(status: int, body: bytes) -> None:
    pair = bound()
    sequence = pair.esme.submit("submit_sm", TEXT, now=0.0, token="ask")
    (event,) = pair.esme.receive_data(frame(0x80000004, body, status=status, sequence=sequence), 0.0)
    assert isinstance(event, ResponseReceived)
    assert (event.token, event.pdu.status) == ("ask", status)
    assert bool(event.pdu.body_error) == (body in (b"no end", b"x" * 70 + b"\0"))


def test_a_nack_resolves_its_request() -> None:
    pair = bound()
    sequence = pair.esme.submit("submit_sm", TEXT, now=0.0, token="ask")
    nack = frame(0x80000000, status=Status.RINVCMDLEN, sequence=sequence)
    assert pair.esme.receive_data(nack, 0.0) == [Nacked(sequence, Status.RINVCMDLEN, "ask")]
    assert [type(event) for event in pair.esme.receive_data(nack, 0.0)] == [ProtocolViolation]


def test_a_response_of_another_command_does_not_answer() -> None:
    pair = bound()
    sequence = pair.esme.submit("submit_sm", TEXT, now=0.0)
    (event,) = pair.esme.receive_data(frame(0x80000103, b"1\0", sequence=sequence), 0.0)
    assert isinstance(event, ProtocolViolation)
    assert pair.esme.room == pair.esme.settings.window - 1


FRAMES = st.sampled_from([golden.octets for golden in GOLDEN])
PIECES = st.lists(st.one_of(st.binary(max_size=24), FRAMES), max_size=6)


@settings(max_examples=150, deadline=None)
@given(
    PIECES, st.sampled_from(list(Role)), st.booleans(), st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)))
)
def test_whatever_arrives_raises_nothing_and_every_store_stays_bounded(
    pieces: list[bytes], role: Role, is_bound: bool, changes: list[tuple[int, int]]
) -> None:
    pair = bound(unanswered_max=3) if is_bound else Pair(unanswered_max=3)
    session = pair.esme if role is Role.ESME else pair.smsc
    octets = bytearray(b"".join(pieces))
    for at, value in changes:
        if octets:
            octets[at % len(octets)] = value
    for now, at in enumerate(range(0, len(octets), 11)):
        session.receive_data(bytes(octets[at : at + 11]), float(now))
        session.advance(float(now))
        assert session.unanswered <= 3
    for answer in Framer().feed(session.data_to_send()):
        decode(answer)
