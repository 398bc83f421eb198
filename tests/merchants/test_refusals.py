"""What the API refuses, and with which words: bad bodies, headers, keys, paths. Nothing of it is ever a 500."""

from typing import Any, NamedTuple

import msgspec
import pytest
from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from gateway.store import tables
from merchants.problems import CATALOGUE
from tests.merchants.shop import Answered, Shop, a_request, in_batch

GOOD = a_request()
JSON = "application/json"


class Row(NamedTuple):
    """One bad request to POST /v1/payments."""

    label: str
    body: bytes
    status: int
    code: str
    field: str | None = None


def row(label: str, status: int, code: str, field: str | None = None, **fields: Any) -> Row:
    return Row(label, msgspec.json.encode({**GOOD, **fields}), status, code, field)


def raw(label: str, body: bytes, status: int = 400, code: str = "malformed_json", field: str | None = None) -> Row:
    return Row(label, body, status, code, field)


def wrong(label: str, field: str, **fields: Any) -> Row:
    return row(label, 422, "invalid_request", field, **fields)


def number(label: str, msisdn: Any) -> Row:
    return row(label, 422, "invalid_msisdn", None, msisdn=msisdn)


def spliced(label: str, old: bytes, new: bytes, *expected: Any) -> Row:
    encoded = msgspec.json.encode(GOOD)
    assert old in encoded
    return raw(label, encoded.replace(old, new), *expected)


FIELD = (422, "invalid_request")
ROWS = [
    # Not JSON.
    raw("no body", b""),
    raw("blank", b" "),
    raw("cut off", msgspec.json.encode(GOOD)[:-1]),
    raw("trailing", msgspec.json.encode(GOOD) + b"x"),
    raw("two documents", msgspec.json.encode(GOOD) * 2),
    raw("single quotes", b"{'amount':1}"),
    raw("trailing comma", msgspec.json.encode(GOOD)[:-1] + b",}"),
    raw("comment", b"/* */" + msgspec.json.encode(GOOD)),
    raw("byte order mark", b"\xef\xbb\xbf" + msgspec.json.encode(GOOD)),
    raw("UTF-16", msgspec.json.encode(GOOD).decode().encode("utf-16")),
    spliced("not UTF-8", b"2 kg", b"2 \xff kg"),
    spliced("overlong UTF-8", b"2 kg", b"2 \xc0\x80 kg"),
    spliced("encoded surrogate", b"2 kg", b"2 \xed\xa0\x80 kg"),
    spliced("lone surrogate", b"2 kg", b"2 \\ud83d kg"),
    spliced("lone low surrogate", b"2 kg", b"2 \\ude00 kg"),
    spliced("raw line break", b"2 kg", b"2\nkg"),
    spliced("leading zero", b"125000", b"0125000"),
    spliced("NaN", b"125000", b"NaN"),
    spliced("Infinity", b"125000", b"Infinity"),
    spliced("minus Infinity", b"125000", b"-Infinity"),
    spliced("hex", b"125000", b"0x1", *FIELD, "amount"),
    spliced("underscore", b"125000", b"125_000"),
    spliced("the amount twice", b'"amount":125000', b'"amount":1,"amount":125000'),
    spliced("the amount twice, once escaped", b'"amount":125000', b'"amount":1,"\\u0061mount":125000'),
    spliced("the same key twice in metadata", b'"amount"', b'"metadata":{"a":"1","a":"2"},"amount"'),
    raw("form", b"amount=1&currency=KES"),
    # JSON, but no object.
    raw("null", b"null", *FIELD),
    raw("array", b"[]", *FIELD),
    raw("string", b'"pay"', *FIELD),
    raw("deep arrays", b"[" * 20_000, *FIELD),
    spliced("deep amount", b"125000", b"[" * 20_000, *FIELD, "amount"),
    spliced("deep metadata", b'"amount"', b'"metadata":' + b'{"a":' * 9_000 + b"1", *FIELD, "metadata"),
    # Missing and unknown fields.
    raw("empty object", b"{}", *FIELD, "amount"),
    wrong("unknown field", "surprise", surprise=1),
    wrong("mass assignment", "state", state="succeeded"),
    wrong("mode", "mode", mode="live"),
    # Amounts.
    wrong("float", "amount", amount=1250.5),
    wrong("whole float", "amount", amount=1250.0),
    spliced("exponent", b"125000", b"1e5", *FIELD, "amount"),
    spliced("huge", b"125000", b"9" * 400, *FIELD, "amount"),
    spliced("huge exponent", b"125000", b"1e999", *FIELD, "amount"),
    wrong("zero", "amount", amount=0),
    wrong("negative", "amount", amount=-1),
    wrong("above the most", "amount", amount=10**12 + 1),
    wrong("text", "amount", amount="125000"),
    wrong("true", "amount", amount=True),
    wrong("no amount", "amount", amount=None),
    # Currencies.
    wrong("unknown currency", "currency", currency="KSH"),
    wrong("small letters", "currency", currency="kes"),
    wrong("no currency", "currency", currency=""),
    wrong("NUL in the currency", "currency", currency="KE\0"),
    row("another currency", 422, "currency_not_supported", currency="USD"),
    # Numbers.
    number("national", "0712345678"),
    number("without plus", "254712345678"),
    number("blanks", "+254 712 345 678"),
    number("dashes", "+254-712-345678"),
    number("letters", "+25471234567a"),
    number("other digits", "+٢٥٤٧١٢٣٤٥٦٧٨"),
    number("line break behind", "+254712345678\n"),
    number("NUL", "+254712345678\0"),
    number("too short", "+25471"),
    number("too long", "+2547123456789012"),
    number("impossible length", "+25471234567890"),
    number("no such country", "+9991234567890"),
    number("empty", ""),
    wrong("number as a number", "msisdn", msisdn=254712345678),
    row("no carrier there", 422, "no_carrier", msisdn="+14155552671"),
    # Carrier hints.
    row("unknown carrier", 422, "no_carrier", carrier="nobody"),
    row("a carrier of the other mode", 422, "no_carrier", carrier="real"),
    row("a carrier of another country", 422, "no_carrier", carrier="nippon"),
    # Texts.
    wrong("no description", "description", description=""),
    wrong("description too long", "description", description="x" * 201),
    wrong("nothing to see", "description", description="\u200b\u202e \t"),
    wrong("NUL only", "description", description="\0"),
    wrong("reference too long", "reference", reference="r" * 65),
    wrong("reference empty", "reference", reference=""),
    wrong("NUL in the reference", "reference", reference="a\0b"),
    wrong("line break in the reference", "reference", reference="a\nb"),
    wrong("reference a number", "reference", reference=7),
    # The rest.
    wrong("too soon", "expires_in_s", expires_in_s=59),
    wrong("too late", "expires_in_s", expires_in_s=86_401),
    wrong("half a second", "expires_in_s", expires_in_s=60.5),
    wrong("unknown capture", "capture", capture="later"),
    wrong("unknown language", "language", language="xx"),
    wrong("language a path", "language", language="../en"),
    wrong("metadata a list", "metadata", metadata=["a"]),
    wrong("metadata of numbers", "metadata", metadata={"a": 1}),
    wrong("too much metadata", "metadata", metadata={f"k{n}": "v" for n in range(51)}),
    wrong("metadata key too long", "metadata", metadata={"k" * 41: "v"}),
    wrong("metadata key empty", "metadata", metadata={"": "v"}),
    wrong("metadata value too long", "metadata", metadata={"k": "v" * 501}),
    wrong("NUL in metadata", "metadata.k", metadata={"k": "\0"}),
    wrong("NUL in a metadata key", "metadata", metadata={"k\0": "v"}),
]


def check_problem(answer: Answered, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer.body
    problem, catalogued = answer.json, CATALOGUE[code]
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert problem["type"] == f"docs/api.md#{code}"
    assert (problem["status"], problem["title"]) == (catalogued.status, catalogued.title)
    assert (problem["category"], problem["retryable"]) == (catalogued.category, catalogued.retryable)
    assert problem["request_id"] == answer.headers["Request-Id"]
    assert problem["detail"]


@pytest.mark.parametrize("bad", ROWS, ids=[bad.label for bad in ROWS])
async def test_a_bad_body_is_refused_by_name(sqlite_shop: Shop, bad: Row) -> None:
    headers = {"Authorization": f"Bearer {sqlite_shop.mine.test_key}", "Content-Type": JSON, "Idempotency-Key": "k"}
    answer = await sqlite_shop.send("POST", "/v1/payments", bad.body, headers)
    check_problem(answer, bad.status, bad.code)
    if bad.field is not None:
        assert [error["field"] for error in answer.json["errors"]] == [bad.field]
    # The key was not used up.
    assert (await sqlite_shop.call("POST", "/v1/payments", GOOD, key="k")).status == 201


HALF = b'{"description":"2 %s kg"}'
WHY = [
    ("empty", b"", "expected a JSON object, got an empty body"),
    ("blank", b" \r\n\t", "expected a JSON object, got an empty body"),
    ("high half", HALF % b"\\ud800", r"\ud800 is half a character"),
    ("high half at the end", rb'{"description":"2 \uD83d"}', r"\uD83d is half a character"),
    ("low half", HALF % b"\\ude00", r"\ude00 is half a character"),
    ("two high halves", HALF % b"\\ud83d\\ud83d", r"\ud83d is half a character"),
    ("a pair and a half", HALF % b"\\ud83d\\ude00\\ude00", r"\ude00 is half a character"),
    ("a pair, then cut off", rb'{"description":"\ud83d\ude00', "Input data was truncated"),
    ("an escaped backslash, then cut off", rb'{"description":"\\ud800', "Input data was truncated"),
]


@pytest.mark.parametrize(("label", "body", "detail"), WHY, ids=[label for label, *_ in WHY])
async def test_a_malformed_body_is_told_why(sqlite_shop: Shop, label: str, body: bytes, detail: str) -> None:
    headers = {"Authorization": f"Bearer {sqlite_shop.mine.test_key}", "Content-Type": JSON, "Idempotency-Key": "k"}
    answer = await sqlite_shop.send("POST", "/v1/payments", body, headers)
    check_problem(answer, 400, "malformed_json")
    assert answer.json["detail"] == detail


@pytest.mark.parametrize("language", ["fr", "sw"])
async def test_a_live_key_may_name_only_reviewed_languages(sqlite_shop: Shop, language: str) -> None:
    live = sqlite_shop.mine.live_key
    answer = await sqlite_shop.call("POST", "/v1/payments", a_request(language=language), secret=live)
    check_problem(answer, 422, "invalid_request")
    assert answer.json["errors"] == [{"field": "language", "message": "expected one of en"}]
    assert (await sqlite_shop.call("POST", "/v1/payments", a_request(language=language))).status == 201
    assert (await sqlite_shop.call("POST", "/v1/payments", a_request(language="en"), secret=live)).status == 201


async def test_an_amount_that_its_carrier_cannot_charge_is_refused(sqlite_shop: Shop) -> None:
    answer = await sqlite_shop.call("POST", "/v1/payments", a_request(amount=125_050, carrier="coarse"))
    check_problem(answer, 422, "invalid_request")
    assert [error["field"] for error in answer.json["errors"]] == ["amount"]


async def test_all_mistakes_of_meaning_are_told_at_once(sqlite_shop: Shop) -> None:
    body = a_request(currency="KSH", language="xx", reference="a\nb")
    errors = (await sqlite_shop.call("POST", "/v1/payments", body)).json["errors"]
    assert {error["field"] for error in errors} == {"currency", "language", "reference"}


HEADERS: list[tuple[str, dict[str, str | None], int, str]] = [
    ("no key", {"Idempotency-Key": None}, 400, "missing_idempotency_key"),
    ("empty key", {"Idempotency-Key": ""}, 400, "invalid_idempotency_key"),
    ("long key", {"Idempotency-Key": "k" * 256}, 400, "invalid_idempotency_key"),
    ("key not ASCII", {"Idempotency-Key": "schlüssel"}, 400, "invalid_idempotency_key"),
    ("key with a tab", {"Idempotency-Key": "a\tb"}, 400, "invalid_idempotency_key"),
    ("no type", {"Content-Type": None}, 415, "unsupported_media_type"),
    ("text", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
    ("form", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "unsupported_media_type"),
    ("latin-1", {"Content-Type": "application/json; charset=latin-1"}, 415, "unsupported_media_type"),
    ("compressed", {"Content-Encoding": "compress"}, 415, "unsupported_media_type"),
    ("no authorization", {"Authorization": None}, 401, "unauthorized"),
    ("basic", {"Authorization": "Basic c2tfdGVzdF86"}, 401, "unauthorized"),
    ("small bearer", {"Authorization": "bearer sk_test_x"}, 401, "unauthorized"),
    ("unknown key", {"Authorization": f"Bearer sk_test_{'A' * 43}"}, 401, "unauthorized"),
    ("short key", {"Authorization": "Bearer sk_test_AAAA"}, 401, "unauthorized"),
    ("injection", {"Authorization": "Bearer ' OR 1=1 --"}, 401, "unauthorized"),
]


@pytest.mark.parametrize(("label", "change", "status", "code"), HEADERS, ids=[label for label, *_ in HEADERS])
async def test_bad_headers_are_refused(
    sqlite_shop: Shop, label: str, change: dict[str, str | None], status: int, code: str
) -> None:
    usual = {"Authorization": f"Bearer {sqlite_shop.mine.test_key}", "Content-Type": JSON, "Idempotency-Key": "k"}
    headers = {name: value for name, value in {**usual, **change}.items() if value is not None}
    answer = await sqlite_shop.send("POST", "/v1/payments", msgspec.json.encode(GOOD), headers)
    check_problem(answer, status, code)


async def test_a_key_of_255_characters_and_a_type_with_a_charset_are_fine(sqlite_shop: Shop) -> None:
    headers = {
        "Authorization": f"Bearer {sqlite_shop.mine.test_key}",
        "Content-Type": "application/json; charset=UTF-8",
        "Idempotency-Key": "k" * 255,
    }
    assert (await sqlite_shop.send("POST", "/v1/payments", msgspec.json.encode(a_request()), headers)).status == 201


async def test_two_idempotency_keys_are_one_too_many(sqlite_shop: Shop) -> None:
    headers = [
        ("Authorization", f"Bearer {sqlite_shop.mine.test_key}"),
        ("Content-Type", JSON),
        ("Idempotency-Key", "a"),
        ("Idempotency-Key", "b"),
    ]
    answer = await sqlite_shop.send("POST", "/v1/payments", msgspec.json.encode(GOOD), headers)
    check_problem(answer, 400, "invalid_idempotency_key")


async def test_a_body_has_its_limit_to_the_byte(sqlite_shop: Shop) -> None:
    headers = {"Authorization": f"Bearer {sqlite_shop.mine.test_key}", "Content-Type": JSON, "Idempotency-Key": "k"}
    encoded = msgspec.json.encode(a_request())
    most = encoded + b" " * (65_536 - len(encoded))
    assert (await sqlite_shop.send("POST", "/v1/payments", most, headers)).status == 201
    check_problem(await sqlite_shop.send("POST", "/v1/payments", most + b" ", headers), 413, "body_too_large")


PATHS = [
    ("GET", "/nothing", 404, "not_found"),
    ("GET", "/v1/payments/", 404, "not_found"),
    ("GET", "/v1//payments", 404, "not_found"),
    ("GET", "/v1/payments/../events", 401, "unauthorized"),
    ("DELETE", "/v1/payments", 405, "method_not_allowed"),
    ("PUT", "/v1/events", 405, "method_not_allowed"),
    ("POST", "/healthz", 405, "method_not_allowed"),
    ("GET", "/callbacks/acme/x", 404, "not_found"),
]


@pytest.mark.parametrize(("method", "path", "status", "code"), PATHS, ids=[f"{m} {p}" for m, p, *_ in PATHS])
async def test_wrong_paths_and_methods_get_problems_too(
    sqlite_shop: Shop, method: str, path: str, status: int, code: str
) -> None:
    answer = await sqlite_shop.send(method, path)
    check_problem(answer, status, code)
    assert ("Allow" in answer.headers) == (status == 405)


QUERIES = [
    ("/v1/payments?limit=0", "limit"),
    ("/v1/payments?limit=101", "limit"),
    ("/v1/payments?limit=ten", "limit"),
    ("/v1/payments?limit=1&limit=2", ""),
    ("/v1/payments?starting_after=x", "starting_after"),
    ("/v1/payments?starting_after=pay_%00", "starting_after"),
    ("/v1/payments?status=ended", "status"),
    ("/v1/payments?reference=%00", "reference"),
    ("/v1/payments?reference=%ff", "reference"),
    ("/v1/payments?surprise=1", "surprise"),
    ("/v1/events?after_seq=-1", "after_seq"),
    ("/v1/events?after_seq=99999999999999999999", "after_seq"),
    ("/v1/events?after_seq=1e3", "after_seq"),
    ("/v1/events?after_seq=1.0", "after_seq"),
    ("/v1/events?after_seq=%2B1", "after_seq"),
    ("/v1/events?after_seq=1_0", "after_seq"),
    ("/v1/events?after_seq=%D9%A3", "after_seq"),
    ("/v1/events?after_seq=1%0A", "after_seq"),
    ("/v1/events?after_seq=", "after_seq"),
    ("/v1/events?after_seq=" + "9" * 5000, "after_seq"),
    ("/v1/events?limit=1001", "limit"),
    ("/v1/events?limit=1e2", "limit"),
    ("/v1/payments?limit=2e1", "limit"),
    ("/v1/webhook_endpoints?limit=1", "limit"),
]


@pytest.mark.parametrize(("path", "field"), QUERIES, ids=[path for path, _ in QUERIES])
async def test_bad_queries_are_refused(sqlite_shop: Shop, path: str, field: str) -> None:
    answer = await sqlite_shop.call("GET", path)
    if path.endswith("%ff"):  # Decoded with a replacement character, which is printable and finds nothing.
        assert answer.json["data"] == []
        return
    check_problem(answer, 422, "invalid_request")
    assert [error["field"] for error in answer.json["errors"]] == [field]


async def test_digits_alone_are_a_number_in_a_query(sqlite_shop: Shop) -> None:
    assert (await sqlite_shop.call("GET", "/v1/events?after_seq=007&limit=0100")).status == 200


FULFILMENTS = [
    ({}, "what"),
    ({"what": ""}, "what"),
    ({"what": "a\0"}, "what"),
    ({"what": "sugar", "when": "yesterday"}, "when"),
    ({"what": "sugar", "when": "2026-11-23"}, "when"),
    ({"what": "sugar", "when": "2026-11-23T10:15:30"}, "when"),
    ({"what": "sugar", "tracking": "x" * 129}, "tracking"),
    ({"what": "sugar", "who": "me"}, "who"),
]


@pytest.mark.parametrize(("body", "field"), FULFILMENTS)
async def test_bad_fulfilments_are_refused(sqlite_shop: Shop, body: dict[str, str], field: str) -> None:
    payment = await sqlite_shop.create()
    answer = await sqlite_shop.call("POST", f"/v1/payments/{payment['id']}/fulfilment", body)
    check_problem(answer, 422, "invalid_request")
    assert [error["field"] for error in answer.json["errors"]] == [field]


async def test_a_key_that_expires_stops_to_work(shop: Shop) -> None:
    assert (await shop.call("GET", "/v1/payments")).status == 200
    expires_at_ms = shop.clock.now_ms() + 60_000
    await in_batch(shop, lambda conn: conn.execute(update(tables.api_key).values(expires_at_ms=expires_at_ms)))
    live = shop.mine.live_key
    assert (await shop.call("GET", "/v1/payments", secret=live)).status == 200
    shop.clock.advance(61)
    check_problem(await shop.call("GET", "/v1/payments", secret=live), 401, "unauthorized")


async def test_a_database_that_cannot_be_reached_is_a_503_with_a_time_to_come_back(
    sqlite_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*arguments: object, **named: object) -> None:
        raise OperationalError("SELECT", {}, Exception("connection timeout expired"))

    monkeypatch.setattr("gateway.store.merchant_reads.events", unreachable)
    answer = await sqlite_shop.call("GET", "/v1/events?after_seq=0")
    check_problem(answer, 503, "overloaded")
    assert answer.headers["Retry-After"] == "2"


async def test_a_bug_of_ours_is_a_problem_with_an_id(
    sqlite_shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("merchants.checks.payment", broken)
    answer = await sqlite_shop.call("POST", "/v1/payments", GOOD)
    check_problem(answer, 500, "internal_error")
    assert b"secret detail" not in answer.body
    assert answer.json["request_id"] in caplog.text


async def test_a_stopped_writer_is_a_503(sqlite_shop: Shop) -> None:
    await sqlite_shop.batcher.stop()
    answer = await sqlite_shop.call("POST", "/v1/payments", GOOD)
    check_problem(answer, 503, "overloaded")
    assert int(answer.headers["Retry-After"]) >= 1
