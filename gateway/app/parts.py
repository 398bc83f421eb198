"""The configuration translated into what each part wants: rules, lanes, adapters, words."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Connection

from carriers import base
from gateway.adapters import chosen
from gateway.config import Config, ConfigError, Secrets
from gateway.consumer.keywords import Keywords
from gateway.consumer.page.desk import PageDesk
from gateway.consumer.ussd_visit import Desk
from gateway.core.asks import SCREENS_TABLE, Catalogues, load_catalogues
from gateway.core.caps import DAY_MS, NO_CAPS, Caps, Terms
from gateway.core.country import COUNTRIES
from gateway.core.limits import NO_LIMITS
from gateway.core.money import exponent
from gateway.core.payment import Rules
from gateway.core.reply import Meaning
from gateway.core.screens import UNITS_MAX
from gateway.core.sim_rule import SimRule
from gateway.engine.batcher import BatchSettings
from gateway.engine.file_watch import Expected
from gateway.engine.inbox import KeywordHandler
from gateway.engine.lane import Executor
from gateway.engine.lanes import LaneSettings
from gateway.engine.texts import CarrierWords, Texts
from gateway.store.outbox import LanePlan
from gateway.store.queries import msisdn_of
from gateway.store.reads import Reads
from gateway.store.unit import Policy
from merchants.rates import RateLimits
from merchants.routing import CarrierTerms

NUMBERS_MAX = 100_000


class Numbers:
    """The phone number behind a consumer's id, kept in memory: a number never changes its consumer."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self._known: OrderedDict[str, str] = OrderedDict()

    async def __call__(self, consumer_id: str) -> str:
        msisdn = self._known.get(consumer_id)
        if msisdn is None:

            def look_up(conn: Connection) -> str:
                return msisdn_of(conn, consumer_id)

            msisdn = self._known[consumer_id] = await self._reads(look_up)
            if len(self._known) > NUMBERS_MAX:
                self._known.popitem(last=False)
        return msisdn


def rules(config: Config, billers: Mapping[str, base.Biller]) -> dict[str, Rules]:
    """By carrier, the numbers that the payment's table goes by."""
    return {
        name: Rules(
            consent_grace_ms=round(carrier.consent_grace_s * 1000),
            charge_within_ms=round(carrier.charge_within_s * 1000),
            inquiry_ladder_ms=tuple(round(s * 1000) for s in carrier.inquiry_ladder_s),
            not_found_gap_ms=round(carrier.not_found_gap_s * 1000),
            max_processing_ms=round(billers[name].capabilities.max_processing_s * 1000),
            resend_ladder_ms=tuple(round(s * 1000) for s in carrier.resend_ladder_s),
            holds=billers[name].capabilities.holds,
            partial_capture=billers[name].capabilities.partial_capture,
            hold_ms=round((billers[name].capabilities.hold_s or carrier.hold_s) * 1000),
            escrow_ship_within_ms=round(carrier.escrow_ship_within_s * 1000),
            escrow_release_after_ms=round(carrier.escrow_release_after_s * 1000),
            sim=sim_rules(config).get(name),
            reminder_from_ms=round(carrier.reminder_from_s * 1000),
            opt_in=COUNTRIES[carrier.country].opt_in,
            tax_in_ask=COUNTRIES[carrier.country].tax_in_ask,
        )
        for name, carrier in config.carriers.items()
    }


def sim_rules(config: Config) -> dict[str, SimRule]:
    """By carrier, of those that are asked about SIMs."""
    return {
        name: carrier.sim_rule or SimRule() for name, carrier in config.carriers.items() if carrier.sim_swap is not None
    }


def terms(config: Config) -> dict[str, Terms]:
    """By carrier, its limits and caps. Simulated phones are asked a thousand times a day, so theirs must be written."""
    return {
        name: Terms(
            limits=carrier.limits or NO_LIMITS,
            caps=carrier.caps or (Caps() if carrier.mode == "live" else NO_CAPS),
            zone=ZoneInfo(carrier.time_zone),
            country=COUNTRIES[carrier.country],
        )
        for name, carrier in config.carriers.items()
    }


def texts_kept_ms(config: Config) -> dict[str, int]:
    """By carrier, how long what phones wrote is kept."""
    return {name: COUNTRIES[one.country].texts_kept_days * DAY_MS for name, one in config.carriers.items()}


def lane_plan(config: Config) -> LanePlan:
    return LanePlan(
        sms=dict.fromkeys(config.carriers, 1),
        charge={name: carrier.charge_lanes for name, carrier in config.carriers.items()},
        webhook=config.engine.webhook_lanes,
        sim=tuple(sim_rules(config)),
    )


def expected_files(config: Config) -> dict[str, Expected]:
    """By carrier that sends files."""
    return {
        name: Expected(carrier.files, ZoneInfo(carrier.time_zone))
        for name, carrier in config.carriers.items()
        if carrier.files is not None
    }


def rate_limits(config: Config) -> RateLimits:
    api = config.api
    return RateLimits(rate_per_s=api.rate_per_s, burst=api.burst, unknown_keys_per_min=api.unknown_keys_per_min)


def policy(
    config: Config,
    secrets: Secrets,
    billers: Mapping[str, base.Biller],
    plan: LanePlan,
    channels: Mapping[str, base.UssdChannel],
) -> Policy:
    return Policy(
        rules=rules(config, billers),
        lanes=plan,
        code_key=secrets.code_key,
        former_code_keys=secrets.former_code_keys,
        pin_keys=secrets.pin_keys,
        short_codes={name: carrier.short_code for name, carrier in config.carriers.items()},
        pushing=pushing(config, channels),
        terms=terms(config),
        traces=config.engine.traces,
        modes=modes(config),
        banks={name: one.files.bank for name, one in config.carriers.items() if one.files is not None},
        names_in_files={
            name: biller.names_in_files for name, biller in billers.items() if isinstance(biller, base.NamingBiller)
        },
    )


def texts(config: Config, secrets: Secrets, spoken: Mapping[str, Catalogues]) -> Texts:
    return Texts(spoken, carrier_words(config), secrets.code_key, former_code_keys=secrets.former_code_keys)


def batch_settings(config: Config) -> BatchSettings:
    engine = config.engine
    return BatchSettings(
        batch_events_max=engine.batch_events_max,
        queue_max=engine.queue_max,
        pace_ms=engine.pace_ms,
        eager_at=engine.eager_at,
    )


def check_lease(config: Config, executors: Mapping[str, Executor]) -> None:
    """Raise ConfigError for a lease that a lane's longest request would outlive: that lane would never start one."""
    engine = config.engine
    longest_s, lane = max((executor.hard_timeout_s, name) for name, executor in executors.items())
    if engine.lease_s - engine.heartbeat_s <= longest_s:
        least_s = longest_s + engine.heartbeat_s
        raise ConfigError([f"engine.lease_s: expected more than {least_s} (lane {lane}), got {engine.lease_s}"])


def lane_settings(config: Config) -> LaneSettings:
    engine = config.engine
    return LaneSettings(lease_s=engine.lease_s, heartbeat_s=engine.heartbeat_s, poll_s=engine.poll_s)


def bearers(config: Config, now_ms: Callable[[], int], *, on_up: Callable[[str], None]) -> dict[str, base.Bearer]:
    """By carrier. *on_up* is called with the lane's name when a link is there again."""
    made: dict[str, base.Bearer] = {}
    for name, carrier in config.carriers.items():

        def up(lane: str = f"sms:{name}:0") -> None:
            on_up(lane)

        kind, settings = chosen(carrier.bearer, "Bearer")
        made[name] = kind.make(name, msgspec.convert(settings, kind.settings), now_ms=now_ms, on_up=up)
    return made


def billers(config: Config, now_ms: Callable[[], int]) -> dict[str, base.Biller]:
    """By carrier."""
    made: dict[str, base.Biller] = {}
    for name, carrier in config.carriers.items():
        kind, settings = chosen(carrier.biller, "Biller")
        made[name] = kind.make(name, msgspec.convert(settings, kind.settings), now_ms=now_ms)
    return made


def sim_hooks(config: Config, now_ms: Callable[[], int]) -> dict[str, base.SimSwap]:
    """By carrier, of those that are asked about SIMs."""
    made: dict[str, base.SimSwap] = {}
    for name, carrier in config.carriers.items():
        if carrier.sim_swap is not None:
            kind, settings = chosen(carrier.sim_swap, "SimSwap")
            made[name] = kind.make(name, msgspec.convert(settings, kind.settings), now_ms=now_ms)
    return made


def ussd_channels(config: Config, now_ms: Callable[[], int]) -> dict[str, base.UssdChannel]:
    """By carrier, of those that have one."""
    made: dict[str, base.UssdChannel] = {}
    for name, carrier in config.carriers.items():
        if carrier.ussd is not None:
            kind, settings = chosen(carrier.ussd, "UssdChannel")
            made[name] = kind.make(name, msgspec.convert(settings, kind.settings), now_ms=now_ms)
    return made


def pushing(config: Config, channels: Mapping[str, base.UssdChannel]) -> dict[str, int]:
    """By carrier that asks by USSD and can, how long a phone has to answer, in milliseconds; the others ask by text."""
    return {
        name: round(carrier.push_answer_s * 1000)
        for name, carrier in config.carriers.items()
        if carrier.ask_by == "ussd" and name in channels and channels[name].pushes
    }


def desks(
    config: Config, channels: Mapping[str, base.UssdChannel], spoken: Mapping[str, Catalogues]
) -> dict[str, Desk]:
    """By carrier, what its sessions go by. Raise ConfigError for a channel whose screens are too small for texts."""
    words, made = carrier_words(config), {}
    for name, channel in channels.items():
        carrier = config.carriers[name]
        can = {"gsm": channel.gsm_units_max, "ucs2": channel.ucs2_units_max}
        for row in spoken[name].worst_case_table():
            if row.key.startswith(SCREENS_TABLE) and row.units > can[row.alphabet]:
                setting = f"carriers.{name}.ussd.{row.alphabet}_units_max"
                text = f"{row.language}.{row.key} at its longest"
                raise ConfigError([f"{setting}: expected at least {row.units} ({text}), got {can[row.alphabet]}"])
        made[name] = Desk(
            mode=carrier.mode,
            zone=ZoneInfo(carrier.time_zone),
            currency=carrier.currency,
            language=carrier.language,
            catalogues=spoken[name],
            words=words[name],
            code_digits=carrier.code_digits,
            units_max={
                "gsm": min(UNITS_MAX["gsm"], channel.gsm_units_max),
                "ucs2": min(UNITS_MAX["ucs2"], channel.ucs2_units_max),
            },
        )
    return made


def page_desk(config: Config, secrets: Secrets) -> PageDesk | None:
    """What the statement page goes by; None if there is to be none. Raise ValueError as `spoken`."""
    page = config.page
    if not page.public_url:
        return None
    mine = {name: carrier for name, carrier in config.carriers.items() if carrier.mode == page.mode}
    words = carrier_words(config)
    return PageDesk(
        mode=page.mode,
        public_url=page.public_url,
        country_code=page.country_code,
        proxies=page.proxies,
        codes_per_address=page.codes_per_address,
        catalogues=catalogues().spoken(page.mode, unreviewed=config.gateway.unreviewed_languages),
        zones={name: ZoneInfo(carrier.time_zone) for name, carrier in mine.items()},
        currencies={name: carrier.currency for name, carrier in mine.items()},
        words={name: words[name] for name in mine},
        languages={name: carrier.language for name, carrier in mine.items()},
        code_keys=(secrets.code_key, *secrets.former_code_keys),
    )


@cache
def catalogues() -> Catalogues:
    """Every language whose catalogue is shipped, read once. Raise ValueError with all mistakes in them."""
    folder = resources.files("gateway.core") / "catalogues"
    files = [file for file in folder.iterdir() if file.name.endswith(".toml")]
    return load_catalogues({file.name.removesuffix(".toml"): file.read_text(encoding="utf-8") for file in files})


def spoken(config: Config) -> dict[str, Catalogues]:
    """By carrier, what it may speak: a live one only what a native speaker has reviewed, unless the operator allows it.

    Raise ValueError with all mistakes in the catalogues.
    """
    whole, unreviewed = catalogues(), config.gateway.unreviewed_languages
    return {name: whole.spoken(carrier.mode, unreviewed=unreviewed) for name, carrier in config.carriers.items()}


def languages_by_mode(config: Config) -> dict[str, tuple[str, ...]]:
    """By mode of a key, what its requests may name. Raise ValueError as `spoken`."""
    whole, unreviewed = catalogues(), config.gateway.unreviewed_languages
    return {mode: whole.spoken(mode, unreviewed=unreviewed).languages for mode in ("test", "live")}


def carrier_words(config: Config) -> dict[str, CarrierWords]:
    return {
        name: CarrierWords(
            time_zone=carrier.time_zone,
            short_code=carrier.short_code,
            care_line=carrier.care_line or carrier.short_code,
            brand=carrier.brand,
        )
        for name, carrier in config.carriers.items()
    }


def carrier_terms(config: Config, billers: Mapping[str, base.Biller]) -> Mapping[str, CarrierTerms]:
    """What the API must know of each carrier to take a request."""
    return {
        name: CarrierTerms(
            mode=carrier.mode,
            prefixes=carrier.prefixes,
            currency=carrier.currency,
            language=carrier.language,
            code_digits=carrier.code_digits,
            holds=billers[name].capabilities.holds,
            refunds=billers[name].capabilities.refund,
            step_minor=_step_minor(carrier.currency, billers[name].capabilities),
        )
        for name, carrier in config.carriers.items()
    }


def _step_minor(currency: str, capabilities: base.Capabilities) -> int:
    ours = exponent(currency)
    theirs = capabilities.currency_exponents.get(currency, ours)
    return int(10 ** max(0, ours - theirs))


def keywords(config: Config, spoken: Mapping[str, Catalogues]) -> Mapping[Meaning, KeywordHandler]:
    """What the keywords of a plain phone do."""
    digits = {name: carrier.code_digits for name, carrier in config.carriers.items()}
    return Keywords(zones(config), currencies(config), spoken, digits).handlers


def zones(config: Config) -> dict[str, ZoneInfo]:
    return {name: ZoneInfo(carrier.time_zone) for name, carrier in config.carriers.items()}


def currencies(config: Config) -> dict[str, str]:
    return {name: carrier.currency for name, carrier in config.carriers.items()}


def modes(config: Config) -> dict[str, str]:
    return {name: carrier.mode for name, carrier in config.carriers.items()}


def languages(config: Config) -> dict[str, str]:
    return {name: carrier.language for name, carrier in config.carriers.items()}


def listen(config: Config) -> tuple[str, int]:
    host, _, port = config.gateway.listen.rpartition(":")
    return host, int(port)


def conninfo(url: str) -> str:
    """The URL as libpq takes it."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)
