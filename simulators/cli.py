"""The command line: start the world, print its addresses as one line of JSON, serve until told to stop.

Standard output carries that one line and nothing else; trouble goes to standard error.
"""

import asyncio
import contextlib
import os
import signal
import sys
import threading
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer
import uvloop

from simulators.billing import BillingSettings
from simulators.camara import CamaraSettings
from simulators.faults import Scripted
from simulators.handsets import HandsetSettings
from simulators.sim_swap import SimSwapSettings
from simulators.smsc_messages import MessageIds
from simulators.smsc_settings import SmscSettings
from simulators.twilio import TwilioSettings
from simulators.ussd import UssdSettings
from simulators.wallet_momo import WalletSettings
from simulators.world import Ports, World, WorldSettings

PARENT_POLL_S = 0.25
PID_MAX = 0x7FFFFFFF
# SMPP 3.4 section 5.2.1 and 5.2.2, without the closing NUL.
SYSTEM_ID_LENGTH_MAX = 15
PASSWORD_LENGTH_MAX = 8
NO_JOURNAL = "none"

LateCharge = Annotated[float, typer.Option(help="Seconds until a held charge executes; negative: by control.")]
Mix = Annotated[bool, typer.Option("--mix", help="People answer by the reference mix instead of all paying.")]
NoMagic = Annotated[bool, typer.Option("--no-magic", help="The last three digits of a number mean nothing.")]
Port = Annotated[int, typer.Option(min=0, max=65_535, help="0: chosen by the system.")]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


class Watch(StrEnum):
    """What ends the world besides a signal."""

    NOTHING = "nothing"
    STDIN = "stdin"


class UssdStyle(StrEnum):
    """The aggregator's styles."""

    FORM = "form"
    HUBTEL = "hubtel"
    NALO = "nalo"
    INFOBIP = "infobip"


@app.command()
def simulate(
    journal: Annotated[str, typer.Option(help="Folder for the journals, or 'none' to keep counts only.")] = NO_JOURNAL,
    smsc_port: Port = 0,
    billing_port: Port = 0,
    merchant_port: Port = 0,
    control_port: Port = 0,
    wallet_port: Port = 0,
    stk_port: Port = 0,
    camara_port: Port = 0,
    twilio_port: Port = 0,
    ussd_port: Port = 0,
    sim_port: Port = 0,
    system_id: Annotated[str, typer.Option(help="Who may bind; every other system_id is refused.")] = "gateway",
    password: Annotated[str, typer.Option(help="For that system_id, at most 8 characters.")] = "secret",
    billing_user: Annotated[str, typer.Option()] = "gateway",
    billing_password: Annotated[str, typer.Option()] = "secret",
    billing_token: Annotated[str, typer.Option(help="Accepted as a bearer token.")] = "operator-token",
    wallet_notice_url: Annotated[str, typer.Option(help="Where the Airtel wallet calls, for all orders.")] = "",
    twilio_token: Annotated[str, typer.Option(help="The account's auth token, which also signs.")] = "secret",
    merchant_secret: Annotated[str | None, typer.Option(help="whsec_…, for paths that control gives none.")] = None,
    seed: Annotated[int, typer.Option(help="Same seed, same choices of every phone.")] = 1,
    reply_delay: Annotated[float, typer.Option(min=0.0, help="Seconds until a person answers.")] = 0.2,
    late_reply: Annotated[float, typer.Option(min=0.0, help="Seconds until a late person answers.")] = 120.0,
    late_charge: LateCharge = 5.0,
    billing_latency: Annotated[float, typer.Option(min=0.0, help="Median seconds of a charge, lognormal.")] = 0.0,
    message_ids: Annotated[MessageIds, typer.Option(help="How message ids look.")] = MessageIds.DECIMAL,
    short_code: Annotated[str, typer.Option(help="Where a phone sends that never got a text.")] = "22345",
    mix: Mix = False,
    no_magic: NoMagic = False,
    ussd_url: Annotated[str, typer.Option(help="Where the USSD aggregator calls.")] = "",
    ussd_style: Annotated[UssdStyle, typer.Option(help="How it calls.")] = UssdStyle.FORM,
    faults: Annotated[Path | None, typer.Option(help="JSON file with a list of scripted faults.")] = None,
    parent_pid: Annotated[int | None, typer.Option(min=1, max=PID_MAX, help="Stop when this process is gone.")] = None,
    watch: Annotated[Watch, typer.Option(help="stdin: stop when standard input ends.")] = Watch.NOTHING,
) -> None:
    """Start SMSC, Twilio, operators' billing, wallets, merchant sink, handsets and their control, all on the loopback.

    Example: python -m simulators --journal .demo/journal --reply-delay 1
    """
    billing = _billing(billing_user, billing_password, billing_token, billing_latency, late_charge)
    ports = (smsc_port, billing_port, merchant_port, control_port, wallet_port, stk_port, camara_port)
    settings = WorldSettings(
        ports=Ports(*ports, twilio_port, ussd_port, sim_port),
        journal=None if journal == NO_JOURNAL else Path(journal),
        seed=seed,
        use_magic=not no_magic,
        short_code=short_code,
        merchant_secret=merchant_secret,
        smsc=SmscSettings(accounts=_account(system_id, password), message_ids=message_ids),
        billing=billing,
        wallet=_wallet(billing, wallet_notice_url),
        camara=_camara(billing),
        twilio=TwilioSettings(auth_token=twilio_token),
        sim=SimSwapSettings(user=billing_user, password=billing_password, token=billing_token),
        handsets=HandsetSettings(reply_delay_s=reply_delay, late_reply_s=late_reply, use_mix=mix),
        ussd=UssdSettings(url=ussd_url, style=ussd_style.value, password=password),
        faults=_script(faults),
    )
    _run(settings, parent_pid, watch)


def _billing(user: str, password: str, token: str, latency_s: float, late_s: float) -> BillingSettings:
    return BillingSettings(
        user=user,
        password=password,
        token=token,
        latency_median_s=latency_s,
        late_after_s=late_s if late_s >= 0 else None,
    )


def _run(settings: WorldSettings, parent_pid: int | None, watch: Watch) -> None:
    try:
        uvloop.run(serve(settings, parent_pid=parent_pid, watch=watch))
    except (OSError, ValueError) as error:  # A port that is taken; a secret that is none.
        print(f"simulators: cannot start: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


async def serve(settings: WorldSettings, *, parent_pid: int | None, watch: Watch) -> None:
    """Serve until a signal, or until the parent or standard input is gone."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, done.set)
    async with World(settings) as world:
        watchers = []
        if parent_pid is not None:
            watchers.append(asyncio.create_task(_parent_gone(parent_pid, done)))
        if watch is Watch.STDIN:
            _watch_stdin(done)
        print(msgspec.json.encode(world.addresses()).decode(), flush=True)
        await done.wait()
        for watcher in watchers:
            watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watcher


def _wallet(billing: BillingSettings, notice_url: str) -> WalletSettings:
    """The wallets know the same user and are as fast."""
    return WalletSettings(
        user=billing.user,
        password=billing.password,
        notice_url=notice_url,
        late_after_s=billing.late_after_s,
        latency_median_s=billing.latency_median_s,
    )


def _camara(billing: BillingSettings) -> CamaraSettings:
    """It knows the same client and token and is as fast."""
    return CamaraSettings(
        user=billing.user,
        password=billing.password,
        token=billing.token,
        late_after_s=billing.late_after_s,
        latency_median_s=billing.latency_median_s,
    )


def _account(system_id: str, password: str) -> dict[str, str]:
    if len(system_id) > SYSTEM_ID_LENGTH_MAX or len(password) > PASSWORD_LENGTH_MAX:
        raise typer.BadParameter(
            f"--system-id has {SYSTEM_ID_LENGTH_MAX} characters at most, --password {PASSWORD_LENGTH_MAX}"
        )
    return {system_id: password}


def _script(file: Path | None) -> tuple[Scripted, ...]:
    if file is None:
        return ()
    try:
        script = msgspec.json.decode(file.read_bytes(), type=tuple[Scripted, ...])
    except (OSError, msgspec.DecodeError) as error:
        raise typer.BadParameter(f"{file}: {error}") from error
    wrong = [why for line in script if (why := line.why_wrong())]
    if wrong:
        raise typer.BadParameter("; ".join(wrong))
    return script


async def _parent_gone(pid: int, done: asyncio.Event) -> None:
    """The number could be given to another process, so being its child is believed before its existence."""
    is_child = os.getppid() == pid
    while os.getppid() == pid if is_child else _exists(pid):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), PARENT_POLL_S)
            return
    done.set()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _watch_stdin(done: asyncio.Event) -> None:
    """In a thread of its own, since a file or /dev/null cannot be polled; it ends with the process at the latest."""
    loop = asyncio.get_running_loop()

    def read_to_the_end() -> None:
        with contextlib.suppress(OSError):
            while os.read(sys.stdin.fileno(), 4096):
                pass
        with contextlib.suppress(RuntimeError):  # The loop has ended by itself.
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=read_to_the_end, name="stdin", daemon=True).start()


def main() -> None:
    app()
