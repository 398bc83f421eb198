"""The simulators joined to one world: the only place here that knows everybody.

Each part can also be built alone. The world opens loopback ports and files in the journal's folder, and closes them.
"""

import asyncio
import contextlib
from decimal import Decimal
from pathlib import Path
from typing import Any, Self

import msgspec

from simulators.billing import Billing, BillingSettings
from simulators.camara import Camara, CamaraSettings
from simulators.control import Control
from simulators.faults import FaultPlan, Scripted
from simulators.handsets import Handsets, HandsetSettings
from simulators.journal import Journals
from simulators.merchant import Merchant
from simulators.sim_swap import SimSwap, SimSwapSettings
from simulators.smsc import Smsc
from simulators.smsc_settings import SmscSettings
from simulators.twilio import Twilio, TwilioSettings
from simulators.ussd import Ussd, UssdSettings
from simulators.ussd_http import HttpWay
from simulators.ussd_smpp import SmppWay
from simulators.wallet_momo import Wallet, WalletSettings
from simulators.wallet_stk import WalletStk, WalletStkSettings
from simulators.web import LOOPBACK


class Ports(msgspec.Struct, frozen=True):
    """0: chosen by the system."""

    smsc: int = 0
    billing: int = 0
    merchant: int = 0
    control: int = 0
    wallet: int = 0
    stk: int = 0
    camara: int = 0
    twilio: int = 0
    ussd: int = 0
    sim: int = 0


class WorldSettings(msgspec.Struct, frozen=True, kw_only=True):
    ports: Ports = Ports()
    journal: Path | None = None
    """Folder of the journals; None keeps counts only."""
    seed: int = 1
    use_magic: bool = True
    short_code: str = "22345"
    """Where a phone that never got a text sends to."""
    merchant_secret: str | None = None
    smsc: SmscSettings = SmscSettings()
    billing: BillingSettings = BillingSettings()
    wallet: WalletSettings = WalletSettings()
    stk: WalletStkSettings = WalletStkSettings()
    camara: CamaraSettings = CamaraSettings()
    twilio: TwilioSettings = TwilioSettings()
    sim: SimSwapSettings = SimSwapSettings()
    handsets: HandsetSettings = HandsetSettings()
    ussd: UssdSettings = UssdSettings()
    faults: tuple[Scripted, ...] = ()


class Air:
    """What a phone sends goes to whoever serves the address."""

    def __init__(self, smsc: Smsc, twilio: Twilio) -> None:
        self._smsc = smsc
        self._twilio = twilio

    def send_mo(self, msisdn: str, to: str, text: str) -> None:
        network = self._twilio if self._twilio.serves(to) else self._smsc
        network.send_mo(msisdn, to, text)


class World:
    """SMSC, Twilio, billing, wallets, merchant sink, handsets and their control."""

    def __init__(self, settings: WorldSettings) -> None:
        self.settings = settings
        self.journals = Journals(settings.journal)
        self.plan = FaultPlan(seed=settings.seed, use_magic=settings.use_magic)
        for line in settings.faults:
            self.plan.add(line)
        seed = settings.seed
        self.billing = Billing(msgspec.structs.replace(settings.billing, seed=seed), self.plan, self.journals.billing)
        self.wallet = Wallet(msgspec.structs.replace(settings.wallet, seed=seed), self.plan, self.journals.wallet)
        self.stk = WalletStk(msgspec.structs.replace(settings.stk, seed=seed), self.plan, self.journals.stk)
        self.camara = Camara(msgspec.structs.replace(settings.camara, seed=seed), self.plan, self.journals.camara)
        self.sim = SimSwap(settings.sim, self.plan, self.journals.sim)
        self.merchant = Merchant(self.journals.merchant, secret=settings.merchant_secret)
        self.handsets = Handsets(
            msgspec.structs.replace(settings.handsets, seed=seed, use_magic=settings.use_magic),
            self.journals.handsets,
            top_up=self._top_up,
        )
        accounts = {**settings.smsc.accounts, settings.ussd.system_id: settings.ussd.password}
        smsc = msgspec.structs.replace(settings.smsc, accounts=accounts)
        self.smsc = Smsc(smsc, self.plan, self.journals.smsc, phones=self.handsets)
        twilio = msgspec.structs.replace(settings.twilio, seed=seed)
        self.twilio = Twilio(twilio, self.plan, self.journals.twilio, phones=self.handsets)
        self.handsets.network = Air(self.smsc, self.twilio)
        self.ussd = Ussd(settings.ussd, self.plan, self.journals.ussd, phones=self.handsets)
        self.ussd_http = HttpWay(self.ussd)
        self.smsc.ussd = SmppWay(self.ussd, self.smsc)
        self.ussd.ways = {settings.ussd.http_code: self.ussd_http, settings.ussd.smpp_code: self.smsc.ussd}
        self.handsets.ussd = self.ussd
        self.control = Control(self)
        self._flusher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        ports = self.settings.ports
        self._flusher = asyncio.create_task(self.journals.keep_flushed())
        try:
            await self.smsc.start(ports.smsc)
            await self.ussd_http.start(ports.ussd)
            await self.billing.start(ports.billing)
            await self.wallet.start(ports.wallet)
            await self.stk.start(ports.stk)
            await self.camara.start(ports.camara)
            await self.twilio.start(ports.twilio)
            await self.sim.start(ports.sim)
            await self.merchant.start(ports.merchant)
            await self.control.start(ports.control)
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def _stop(self) -> None:
        self.handsets.close()
        self.ussd.reset()
        await self.control.stop()
        await self.ussd_http.stop()
        await self.smsc.stop()
        await self.billing.stop()
        await self.wallet.stop()
        await self.stk.stop()
        await self.camara.stop()
        await self.twilio.stop()
        await self.sim.stop()
        await self.merchant.stop()
        if self._flusher is not None:
            self._flusher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._flusher
        self.journals.close()

    def addresses(self) -> dict[str, Any]:  # One address is a pair, the others are URLs.
        return {
            "smsc": {"host": LOOPBACK, "port": self.smsc.port},
            "billing": self.billing.server.url,
            "merchant": self.merchant.server.url,
            "control": self.control.server.url,
            "wallet": self.wallet.server.url,
            "stk": self.stk.server.url,
            "camara": self.camara.server.url,
            "twilio": self.twilio.server.url,
            "ussd": self.ussd_http.server.url,
            "sim": self.sim.server.url,
        }

    def truth(self) -> dict[str, Any]:  # Counts and sums of different kinds, for JSON.
        book = self.billing.book
        sums = {f"{kind}:{currency}": str(amount) for (kind, currency), amount in sorted(book.sums.items())}
        return {
            "counts": self.journals.counts(),
            "money": {"charges": book.executions["charge"], "refunds": book.executions["refund"], "sums": sums},
            "held": self.billing.held,
            "stk": {**self.stk.book.executions, "sums": self.stk.book.sums, "held": self.stk.held},
            "camara": {**self.camara.book.executions, "sums": self.camara.book.sums, "held": self.camara.held},
            "webhooks": {
                "verified": self.merchant.verified,
                "forged": self.merchant.forged,
                "types": dict(self.merchant.types),
            },
            "phones": len(self.handsets),
            "smsc": self.smsc.standing(),
            "ussd": len(self.ussd),
            "twilio": {"messages": len(self.twilio.messages), "opted_out": len(self.twilio.opted_out)},
        }

    def reset(self) -> None:
        """Forget phones, money, faults and what was shown; journals, links and ports stay."""
        self.plan.clear()
        self.billing.reset()
        self.wallet.reset()
        self.stk.reset()
        self.camara.reset()
        self.twilio.reset()
        self.sim.reset()
        self.merchant.reset()
        self.handsets.reset()
        self.ussd.reset()
        self.smsc.reset()

    def _top_up(self, msisdn: str, amount: Decimal) -> None:
        for book in (self.billing.book, self.wallet.book, self.camara.book):
            book.set_balance(msisdn, book.balance(msisdn) + amount)
        self.stk.book.set_balance(msisdn, self.stk.book.balance(msisdn) + int(amount))
