"""A bench for the statement page below sockets: a desk, and a browser that is a name."""

from typing import Final

from gateway.app.parts import catalogues
from gateway.consumer.page.asking import hash_of
from gateway.consumer.page.desk import PageDesk
from gateway.consumer.page.jobs import CodeAsked, CodeTyped, Inside, Typed
from gateway.core.logins import code_of
from gateway.engine.texts import CarrierWords, Texts
from gateway.store import page
from gateway.store.apply import Store
from gateway.store.outbox import OutboxRow
from tests.consumer.bench import NAIROBI, texts_of
from tests.store.bench import CODE_KEY, PHONE, Odd, applied
from tests.stores import reading

WORDS: Final = CarrierWords(time_zone="Africa/Nairobi", short_code="22345", care_line="0800 22345", brand="Paygate")
DESK: Final = PageDesk(
    mode="test",
    public_url="https://pay.example",
    country_code="+254",
    proxies=0,
    codes_per_address=0,
    catalogues=catalogues(),
    zones={"acme": NAIROBI},
    currencies={"acme": "KES"},
    words={"acme": WORDS},
    languages={"acme": "en"},
    code_keys=(CODE_KEY,),
)
TEXTS: Final = Texts({"acme": catalogues()}, {"acme": WORDS}, CODE_KEY)


class Browser:
    """Asks for codes and types them."""

    def __init__(self, store: Store, url: str, name: str = "browser") -> None:
        self.store = store
        self.url = url
        self.visit = hash_of(name)
        self.session_id = hash_of(f"{name}/session")
        self.sent: list[OutboxRow] = []

    def ask(self, msisdn: str = PHONE, mode: str = "test") -> bool:
        """Whether a code was sent; the text is in `sent`."""
        with reading(self.url) as conn:
            found = page.known_phone(conn, msisdn, mode)
        batch = applied(self.store, CodeAsked(DESK, self.visit, found))
        self.sent = texts_of(batch)
        assert batch.applied[0].result is bool(self.sent)
        return bool(self.sent)

    def code(self) -> str:
        """As the phone's owner reads it."""
        [row] = self.sent
        code = code_of(CODE_KEY, row.body["login_id"])
        assert code in TEXTS.render(row)
        return code

    def type(self, code: str) -> Typed:
        typed = applied(self.store, CodeTyped(DESK, self.visit, code, self.session_id, "en")).applied[0].result
        assert isinstance(typed, Typed)
        return typed

    def log_in(self, msisdn: str = PHONE) -> page.SessionRow:
        assert self.ask(msisdn)
        assert self.type(self.code()).outcome == "right"
        session = self.session()
        assert session is not None
        return session

    def session(self) -> page.SessionRow | None:
        found = applied(self.store, Odd(lambda unit: page.session(unit.conn, self.session_id, unit.now_ms)))
        session = found.applied[0].result
        assert session is None or isinstance(session, page.SessionRow)
        return session

    def do(self, job: Inside) -> str:
        """What came of it; texts that it sent are in `sent`."""
        batch = applied(self.store, job)
        self.sent = texts_of(batch)
        told = batch.applied[0].result
        assert isinstance(told, str)
        return told
