"""The bearer's pure parts: settings, the PDUs of a text, the outcome of several answers, paces, senders."""

import asyncio
from typing import Any

import msgspec
import pytest

from carriers.base import Refused, SubmitResult, Submitted, Unknown
from carriers.smpp.adapter import Settings
from carriers.smpp.mo import sender_of
from carriers.smpp.mt import Composer, Part, Transfer
from carriers.smpp.pace import STABLE_AFTER_S, Backoff, Throttle, TokenBucket
from carriers.smpp.wire.tables import Status
from tests.carriers.smpp.adapter_bench import NOW_MS, an_mt, some_settings


def settings(**chosen: Any) -> Settings:  # Any: fields of several types, checked by the struct.
    return some_settings(**chosen)(2775)


def parts(text: str = "hello", *, first_reference: int = 6, **chosen: Any) -> list[Part]:  # Any: as above.
    return Composer(settings(**chosen), first_reference=first_reference).parts(an_mt(text=text), NOW_MS)


def test_every_mistake_in_the_settings_is_named_and_no_password_shown() -> None:
    with pytest.raises(ValueError, match=r"password: .*; source_addr: .*; dest_ton: .*; window: ") as raised:
        settings(password="much too long", source_addr="付款", window=0, dest_ton=256)
    assert "much too long" not in str(raised.value)


def test_the_settings_are_read_from_a_file_and_unknown_ones_are_mistakes() -> None:
    known = {"host": "smsc.example", "system_id": "gateway", "password": "secret", "source_addr": "22345"}
    read = msgspec.convert(known, Settings)
    assert read.port == 2775
    # A lane starts nothing that may outlast its lease of twenty seconds less a heartbeat.
    assert read.hard_timeout_s <= 15
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**known, "windov": 3}, Settings)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**known, "password": "much too long"}, Settings)


@pytest.mark.parametrize(("window", "throughput", "concurrency"), [(10, 5_000.0, 10), (100, 20.0, 30), (5, 0.1, 1)])
def test_no_more_texts_run_at_once_than_get_their_turn(window: int, throughput: float, concurrency: int) -> None:
    assert settings(window=window, throughput=throughput, submit_wait_s=3.0).concurrency == concurrency


def test_a_short_text_is_one_plain_pdu() -> None:
    (part,) = parts("Pay €5 @ Asha")
    assert part.tlvs == []
    assert part.fields == {
        "service_type": b"",
        "source_addr_ton": 3,
        "source_addr_npi": 0,
        "source_addr": b"22345",
        "dest_addr_ton": 1,
        "dest_addr_npi": 1,
        "destination_addr": b"254712345100",
        "registered_delivery": 1,
        "data_coding": 0,
        "short_message": b"Pay \x1b\x655 \x00 Asha",
    }


@pytest.mark.parametrize(
    ("form", "first_reference", "header"),
    [("udh8", 6, "050003070201"), ("udh8", 255, "050003000201"), ("udh16", 255, "06080401000201")],
)
def test_parts_carry_a_header_with_a_number_of_their_own(form: str, first_reference: int, header: str) -> None:
    first, second = parts("x" * 200, first_reference=first_reference, concatenation=form)
    octets = bytes.fromhex(header)
    assert first.fields["esm_class"] == second.fields["esm_class"] == 0x40
    assert first.fields["short_message"] == octets + b"x" * (153 if form == "udh8" else 152)
    assert second.fields["short_message"] == octets[:-1] + b"\2" + b"x" * (47 if form == "udh8" else 48)


def test_the_next_long_text_has_the_next_reference() -> None:
    composer = Composer(settings(), first_reference=0)
    found = [composer.parts(an_mt(text="x" * 200), NOW_MS)[0].fields["short_message"] for _ in range(2)]
    assert [octets[3] for octets in found if isinstance(octets, bytes)] == [1, 2]


def test_parts_may_be_numbered_by_tlvs() -> None:
    first, second = parts("付" * 100, concatenation="sar")
    assert "esm_class" not in first.fields and first.fields["data_coding"] == 8
    assert second.tlvs == [(0x020C, b"\0\7"), (0x020E, b"\2"), (0x020F, b"\2")]


def test_an_smsc_may_want_latin_1_instead_of_septets() -> None:
    (part,) = parts("£5 @ café", submit_alphabet="latin1")
    assert part.fields["short_message"] == "£5 @ café".encode("latin-1")


@pytest.mark.parametrize(
    ("form", "seconds", "octets"),
    [
        ("relative", 600, b"000000001000000R"),
        ("relative", 90_061, b"000001010101000R"),
        ("relative", 0.2, b"000000000001000R"),
        ("relative", 400 * 86_400, b"000099000000000R"),
        ("absolute", 600, b"270115081000000+"),
        ("none", 600, None),
    ],
)
def test_the_validity_is_written_as_the_smsc_reads_it(form: str, seconds: float, octets: bytes | None) -> None:
    message = an_mt(valid_until_ms=NOW_MS + int(seconds * 1000), want_receipt=False)
    (part,) = Composer(settings(validity=form), first_reference=0).parts(message, NOW_MS)
    assert part.fields.get("validity_period") == octets
    assert part.fields["registered_delivery"] == 0


async def outcome(total: int, *answers: int | str | None, left: int | None = None) -> SubmitResult | None:
    """What is known after these answers: a status, an id, or None for none. *left*: how many parts were sent."""
    done: asyncio.Future[SubmitResult] = asyncio.get_running_loop().create_future()
    transfer = Transfer([Part({}, [])] * total, settings(), done, 0.0)
    for _ in range(total if left is None else left):
        transfer.left()
    for number, answer in enumerate(answers):
        if answer is None:
            transfer.unanswered("silence")
        elif isinstance(answer, str):
            transfer.taken(number, answer.encode())
        else:
            transfer.refused(answer, 1.0)
    return done.result() if done.done() else None


THROTTLED, BAD_ADDRESS = Status.RTHROTTLED, Status.RINVDSTADR


@pytest.mark.parametrize(
    ("total", "answers", "left", "wanted"),
    [
        (1, ["7"], 1, Submitted(message_ids=("7",), segments=1)),
        (2, ["7", "8"], 2, Submitted(message_ids=("7", "8"), segments=2)),
        (2, ["7"], 2, None),
        (2, ["7"], 1, None),
        (1, [None], 1, Unknown(detail="0 of 1 parts taken: silence")),
        (2, ["7", None], 2, Unknown(detail="1 of 2 parts taken: silence")),
        (2, [None], 1, Unknown(detail="0 of 2 parts taken: silence")),
        (2, ["7", THROTTLED], 2, Unknown(detail="1 of 2 parts taken: ESME_RTHROTTLED")),
        (2, [THROTTLED, None], 2, Unknown(detail="0 of 2 parts taken: silence; ESME_RTHROTTLED")),
        (2, [THROTTLED], 2, None),
    ],
)
async def test_the_outcome_of_several_answers(
    total: int, answers: list[int | str | None], left: int, wanted: SubmitResult | None
) -> None:
    assert await outcome(total, *answers, left=left) == wanted


@pytest.mark.parametrize(
    ("answers", "left", "code", "retryable"),
    [
        ([THROTTLED], 1, "ESME_RTHROTTLED", True),
        ([THROTTLED, THROTTLED], 2, "ESME_RTHROTTLED", True),
        ([THROTTLED, BAD_ADDRESS], 2, "ESME_RINVDSTADR", False),
        ([0x0400], 1, "0x00000400", False),
    ],
)
async def test_refused_only_if_nothing_was_taken(answers: list[int], left: int, code: str, retryable: bool) -> None:
    result = await outcome(2, *answers, left=left)
    assert isinstance(result, Refused) and (result.code, result.retryable) == (code, retryable)


def test_a_bucket_lets_a_short_burst_through_and_then_the_rate() -> None:
    bucket = TokenBucket(20.0, 0.0)
    assert [bucket.take(0.0) for _ in range(3)] == [True, True, False]
    assert bucket.next_at() == pytest.approx(0.05)
    assert bucket.take(0.0501) and not bucket.take(0.0501)
    assert [bucket.take(100.0) for _ in range(3)] == [True, True, False]
    slow = TokenBucket(0.5, 0.0)
    assert slow.take(0.0) and not slow.take(1.9) and slow.take(2.1)


def test_a_throttled_bind_pauses_longer_each_time_until_a_text_is_taken() -> None:
    throttle = Throttle(settings(throttle_pause_s=1.0, throttle_pause_max_s=3.0))
    pauses = []
    for now in (10.0, 20.0, 30.0, 40.0):
        throttle.struck(now)
        throttle.struck(now + 0.5)  # Of the same window: counts once.
        pauses.append(throttle.until - now)
    assert pauses == [1.0, 2.0, 3.0, 3.0]
    throttle.relieved()
    throttle.struck(50.0)
    assert throttle.until == 51.0


def test_the_next_connection_is_tried_ever_later_up_to_a_limit() -> None:
    chosen = settings(reconnect_delay_s=1.0, reconnect_delay_max_s=10.0)
    backoff = Backoff(chosen)

    def delay_s(**fields: Any) -> float:  # Any: numbers of two kinds.
        return backoff.next_delay_s(**{"bound_for_s": 0.0, "bind_status": 0, "chance": 0.0, **fields})

    assert [delay_s() for _ in range(5)] == [1.0, 2.0, 4.0, 8.0, 10.0]
    assert delay_s(bound_for_s=STABLE_AFTER_S, chance=1.0) == 0.5
    assert delay_s(bind_status=Status.RINVPASWD) == 10.0
    assert delay_s(bind_status=Status.RALYBND) == 4.0


@pytest.mark.parametrize(
    ("source", "ton", "wanted"),
    [
        (b"254712345678", 1, "+254712345678"),
        (b"+254712345678", 0, "+254712345678"),
        (b"254712345678", 0, "+254712345678"),
        (b"00254712345678", 0, "+254712345678"),
        (b"0712345678", 0, "+254712345678"),
        (b"712345678", 2, "+254712345678"),
        (b"MPESA", 5, None),
        (b"22345", 3, None),
        (b"", 0, None),
        (b"\xff\xfe", 0, None),
    ],
)
def test_a_sender_is_one_number_however_it_is_written(source: bytes, ton: int, wanted: str | None) -> None:
    assert sender_of(source, ton, "254") == wanted


def test_a_national_number_is_nobody_if_no_country_is_known() -> None:
    assert sender_of(b"0712345678", 2, "") is None
