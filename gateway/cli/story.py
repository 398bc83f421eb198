"""The demo's payment, told as a shop and a phone live it, and judged by what the simulators say truly happened."""

import asyncio
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec

from gateway.cli.errors import CommandError
from gateway.cli.phone import Network
from gateway.cli.steps import step_lines

PHONE = "+254700000555"
YOURS = "+254700000777"
ORDER = "PAY ASHA 1250"
LIMIT_S = 20.0
FINAL = frozenset({"succeeded", "failed", "reversed"})


class Story:
    """One payment from the phone's first text to the line in its history."""

    def __init__(self, http: aiohttp.ClientSession, network: Network, *, api: str, key: str, sink: str) -> None:
        self._http = http
        self._network = network
        self._api = api
        self._key = key
        self._sink = sink
        self._payment: dict[str, Any] = {}  # Any: JSON of the API.
        self._timeline: dict[str, Any] = {}  # Any: as above.
        self._texts: list[tuple[int, str, str]] = []
        self._history = ""

    async def tell(self) -> None:
        """Let it happen. Raise CommandError if a step does not come in time."""
        await self._open_webhooks()
        await self._network.behave(PHONE, "pays")
        await self._network.send(PHONE, ORDER)
        order = await self._event("order.requested")
        body = {
            "amount": order["amount"],
            "currency": order["currency"],
            "msisdn": order["msisdn"],
            "description": "Vegetable box",
            "reference": f"demo-{uuid4().hex[:8]}",
        }
        self._payment = await self._call("POST", "/v1/payments", body)
        await self._until_final()
        if self._payment["status"] == "succeeded":
            delivered = {"what": "Vegetable box", "tracking": "BODA-17"}
            await self._call("POST", f"/v1/payments/{self._payment['id']}/fulfilment", delivered)
        await self._look_at_history()
        self._timeline = await self._call("GET", f"/v1/payments/{self._payment['id']}/timeline")

    async def _open_webhooks(self) -> None:
        endpoint = await self._call("POST", "/v1/webhook_endpoints", {"url": f"{self._sink}/asha"})
        await self._network.post("merchant", {"path": "/asha", "secrets": [endpoint["secret"]]})

    async def _event(self, kind: str) -> dict[str, Any]:  # Any: JSON of the API.
        ends_s = time.monotonic() + LIMIT_S
        while time.monotonic() < ends_s:
            events = (await self._call("GET", "/v1/events?after_seq=0"))["data"]
            for event in events:
                if event["type"] == kind:
                    data: dict[str, Any] = event["data"]
                    return data
            await asyncio.sleep(0.05)
        raise CommandError(f"no event {kind} within {LIMIT_S:.0f} s")

    async def _until_final(self) -> None:
        ends_s = time.monotonic() + LIMIT_S
        while self._payment["status"] not in FINAL and time.monotonic() < ends_s:
            await asyncio.sleep(0.05)
            self._payment = await self._call("GET", f"/v1/payments/{self._payment['id']}")

    async def _look_at_history(self) -> None:
        """The receipt first, then HIST: what it says must come from the record, not from the phone's memory."""
        ends_s = time.monotonic() + LIMIT_S
        while not any("PAID" in text for _, _, text in self._texts) and time.monotonic() < ends_s:
            self._texts = await self._network.inbox(PHONE, after=0, wait_s=0.2)
            await asyncio.sleep(0.05)
        seen = self._texts[-1][0] if self._texts else 0
        await self._network.send(PHONE, "HIST")
        for _, _, text in await self._network.inbox(PHONE, after=seen):
            self._history = text

    async def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:  # Any: JSON of the API.
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        if method == "POST":
            headers["Idempotency-Key"] = uuid4().hex
        sent = None if body is None else msgspec.json.encode(body)
        async with self._http.request(method, self._api + path, data=sent, headers=headers) as answer:
            read: dict[str, Any] = msgspec.json.decode(await answer.read())
        if answer.status >= 400:
            raise CommandError(f"{method} {path}: {answer.status} {read.get('code')}: {read.get('detail')}")
        return read

    def show(self, seconds: float) -> None:
        """The nine steps, and what the phone read."""
        _say(f"Payment {self._payment['id']}: {self._payment['status']}")
        for line in step_lines(self._timeline["steps"]):
            _say(line)
        _say(f"\nWhat the phone {PHONE} sent and read:\n  > {ORDER}")
        for _, sender, text in self._texts:
            _say(f"  < {sender}: {_indented(text)}")
        _say(f"  > HIST\n  < {_indented(self._history)}")
        _say(f"\nFrom nothing to a paid and recorded order in {seconds:.1f} s.")

    async def check(self) -> None:
        """Raise CommandError unless the simulators' journals agree with all that was shown."""
        truth = await self._settled_truth()
        webhooks = truth["webhooks"]
        wrong = []
        if self._payment["status"] != "succeeded":
            wrong.append(f"the payment is {self._payment['status']} ({self._payment['reason']})")
        if truth["money"]["charges"] != 1:
            wrong.append(f"the billing journal shows {truth['money']['charges']} charges, expected 1")
        if webhooks["forged"] or webhooks["verified"] < self._events_expected():
            wrong.append(f"the merchant verified {webhooks}, expected {self._events_expected()} events")
        if self._payment["receipt_ref"] not in self._history:
            wrong.append(f"HIST does not list {self._payment['receipt_ref']}: {self._history!r}")
        if [step["number"] for step in self._timeline["steps"] if step["at"]] != list(range(1, 10)):
            wrong.append("the timeline does not show nine steps")
        if wrong:
            raise CommandError("; ".join(wrong))
        _say("Checked: one charge in the billing journal, all events verified, HIST lists the payment.")

    def _events_expected(self) -> int:
        """order.requested, created, asked, confirmed, succeeded, fulfilled."""
        return 6

    async def _settled_truth(self) -> dict[str, Any]:  # Any: JSON of the simulators.
        """What truly happened, once the last webhook has arrived."""
        ends_s = time.monotonic() + LIMIT_S
        while True:
            truth: dict[str, Any] = await self._network.get("truth")
            if truth["webhooks"]["verified"] >= self._events_expected() or time.monotonic() > ends_s:
                return truth
            await asyncio.sleep(0.05)

    def show_what_next(self, folder: Path) -> None:
        """What a person can try now."""
        is_usual = folder == Path(".demo").resolve()
        where, near = ("", ".demo") if is_usual else (f" --folder {folder}", str(folder))
        command = ".venv/bin/gateway" if Path(".venv/bin/gateway").exists() else "gateway"
        body = f'{{"amount": 99900, "currency": "KES", "msisdn": "{YOURS}", "description": "Umbrella"}}'
        _say(
            f"\nThe gateway keeps serving on {self._api}. Try this:\n\n"
            f"1. Be the phone, in another terminal:\n\n"
            f"   {command} phone {YOURS}{where}\n\n"
            f"2. Ask it for money, in a third one:\n\n"
            f"   curl -s {self._api}/v1/payments -H 'Authorization: Bearer {self._key}' \\\n"
            f"     -H 'Idempotency-Key: '$RANDOM -H 'Content-Type: application/json' \\\n"
            f"     -d '{body}'\n\n"
            f"3. Answer with the code, or 0; then text HIST, RECEIPT and the ref, PAY ASHA 300, LANG SW, STOP.\n\n"
            f"   See the payments in a browser: {self._api}/me. Type {YOURS}; the phone gets a code.\n\n"
            f"4. Look at it as an operator:\n\n"
            f"   export GATEWAY_CODE_KEY=$(cat {near}/code.key)\n"
            f"   {command} status -c {near}/gateway.toml\n"
            f"   {command} payment show {self._payment['id']} -c {near}/gateway.toml\n\n"
            f"What the shop received: {self._sink}/received\n"
            f"Everything lies in {folder}. Ctrl-C ends it."
        )


def _indented(text: str) -> str:
    return text.replace("\n", "\n    ")


def _say(text: str) -> None:
    print(text, flush=True)
