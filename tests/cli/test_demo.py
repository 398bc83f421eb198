"""The demo as a stranger runs it: it shows nine steps, does what the README says, and leaves nothing behind."""

import asyncio
import json
import logging
import os
import re
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.app import logs
from tests.cli.commands import LIMIT_S, Here, Running, lives, running
from tests.house.test_docs import README, fenced, part
from tests.house.tree import ROOT
from tests.stores import check_left

STEPS = (
    *("goods_chosen", "order_told", "payment_requested", "phone_asked", "consumer_confirmed"),
    *("money_requested", "money_paid", "goods_delivered", "record_written"),
)
BLOCKS = fenced(part(README, "Your first payment"), "sh")
# Where there is no curl, as much of it as the README needs.
CURL = f'command -v curl >/dev/null || curl() {{ "{sys.executable}" "{ROOT / "tests/cli/curl.py"}" "$@"; }}\n'


async def test_once_shows_nine_steps_and_ends(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    async with running("demo", "--once", "--folder", folder, "--port", "0", cwd=tmp_path, COLUMNS="80") as demo:
        ended = await demo.ended()
    check_books(folder)
    assert (ended.code, ended.err) == (0, "")
    assert re.findall(r"^  \d +(\w+)", ended.out, re.MULTILINE) == list(STEPS)
    # A narrow terminal breaks lines, we do not: what somebody copies is whole.
    assert re.search(r"PAY by SMS, order ord_[0-9a-z]{26}$", ended.out, re.MULTILINE)
    assert re.search(r"RECEIPT [0-9A-Z]{8} or HIST by SMS, entry ent_[0-9a-z]{26}$", ended.out, re.MULTILINE)
    assert "…" not in ended.out
    assert "PAID KES 1,250.00 to Mama Asha" in ended.out
    assert "Checked: one charge in the billing journal, all events verified, HIST lists the payment." in ended.out
    assert {"demo.json", "gateway.db", "journal"} <= set(os.listdir(folder))


async def test_ctrl_c_ends_a_demo_that_serves_and_nothing_is_left(
    tmp_path: Path, taken_port: int, gateway: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running("demo", "--folder", "here", "--port", str(taken_port), cwd=tmp_path) as demo:
        url = (await demo.says(r"keeps serving on (http://127\.0\.0\.1:(\d+))"))[1]
        assert not url.endswith(f":{taken_port}")
        await demo.says("Ctrl-C ends it")
        assert f"gateway phone +254700000777 --folder {tmp_path / 'here'}\n" in demo.said
        async with aiohttp.ClientSession() as http, http.get(f"{url}/me") as page:
            assert page.status == 200 and f"{url}/me" in demo.said and "Acme Pay" in await page.text()
        children = demo.children()
        assert children
        monkeypatch.chdir(tmp_path)
        second = await asyncio.to_thread(gateway, "demo", "--once", "--folder", "here")
        complaint = "a demo runs in here already; stop it, or name another with --folder"
        assert (second.code, second.complaint()) == (1, complaint)
        async with running("phone", "+254700000777", "--folder", "here", cwd=tmp_path) as phone:
            await phone.says("Ctrl-D ends")
            demo.process.send_signal(signal.SIGINT)
            ended = await demo.ended()
            await phone.process.wait()  # Its input is open still: it ends because nobody answers any more.
            alone = await phone.ended()
    assert (ended.code, ended.err) == (0, "")
    assert alone.code == 1 and alone.complaint().startswith("no simulators answer: ")
    assert not any(lives(pid) for pid in children)
    assert await is_free(int(url.rpartition(":")[2]))
    assert os.listdir(tmp_path) == ["here"]
    check_books(tmp_path / "here")


async def test_a_demo_whose_simulators_die_says_so_and_ends(tmp_path: Path) -> None:
    async with running("demo", "--port", "0", cwd=tmp_path) as demo:
        await demo.says("Ctrl-C ends it")
        [simulators] = demo.children()
        os.kill(simulators, signal.SIGKILL)
        ended = await demo.ended()
    assert ended.code == 1
    *warnings, complaint = ended.err.splitlines()
    assert complaint == "gateway: the simulators ended by themselves, with -9; start the demo again"
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d warning: [^{]+", warning) for warning in warnings)
    check_books(tmp_path / ".demo")


def test_the_demos_log_is_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        writer = logs.set_up(sys.stderr, form="text", level="warning")
        log = logging.getLogger("any")
        log.info("nobody asked")
        log.warning("the link of %s is down", "acme")
        try:
            raise ValueError("two\nlines")
        except ValueError:
            log.exception("it broke")
        writer.close()
    finally:
        root.handlers[:], root.level = handlers, level
    down, broke = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d warning: the link of acme is down", down)
    assert re.fullmatch(r"\d\d:\d\d:\d\d error: it broke: .*lines", broke)


def check_books(folder: Path) -> None:
    """No fixture made this database, so no fixture looks at its ledger."""
    check_left(f"sqlite:///{folder / 'gateway.db'}", must_have_posted=True)


async def is_free(port: int) -> bool:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", port)
    server.close()
    await server.wait_closed()
    return True


async def test_the_readmes_first_payment(tmp_path: Path) -> None:
    ask, feed, delivery, operator = BLOCKS
    addresses = ask.partition("\n\n")[0]
    async with running("demo", "--port", "0", cwd=tmp_path) as demo:
        await demo.says("Ctrl-C ends it")
        async with running("phone", "+254700000777", cwd=tmp_path) as phone:
            await phone.says("Ctrl-D ends")
            [created] = await shell(ask, tmp_path)
            assert created["status"] == "pending"
            await pay(phone)
            await phone.says("PAID KES 999.00")
            assert phone.process.stdin is not None
            phone.process.stdin.close()
            assert (await phone.ended()).code == 0
        events = (await shell(f"{addresses}\n{feed}", tmp_path))[0]["data"]
        assert events[-1]["type"] == "payment.succeeded"
        delivered, timeline = await shell(f"{addresses}\n{delivery}", tmp_path)
        assert delivered["id"] == created["id"] and delivered["fulfilled_at"]
        assert "Umbrella, BODA-18" in [step["detail"] for step in timeline["steps"]]
        # The README's reader has the program in a folder of the clone.
        commands = operator.replace(".venv/bin/gateway", f"{sys.executable} -m gateway.cli")
        shown = await printed(f"ID={created['id']}\n{commands}", tmp_path)
        assert "healthy" in shown and f"Payment {created['id']}: succeeded" in shown and "submit_sm acme" in shown
        assert "254700000777" not in shown
        demo.process.send_signal(signal.SIGINT)
        assert (await demo.ended()).code == 0
    check_books(tmp_path / ".demo")


async def pay(phone: Running) -> None:
    """Answer the ask, as a person does."""
    code = (await phone.says(r"To PAY reply (\d{4})\."))[1]
    await phone.type(f"ok {code}")


async def shell(script: str, cwd: Path) -> list[Any]:  # Any: JSON of the API.
    """Run *script* as somebody would paste it; return the JSON documents that it printed."""
    return documents(await printed(script, cwd))


async def printed(script: str, cwd: Path) -> str:
    """What *script* prints."""
    bash = shutil.which("bash")
    assert bash is not None
    process = await asyncio.create_subprocess_exec(
        *(bash, "-euo", "pipefail", "-c", CURL + script),
        cwd=cwd,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
    assert (process.returncode, err) == (0, b"")
    return out.decode()


def documents(text: str) -> list[Any]:  # Any: JSON.
    found, at = [], 0
    while at < len(text):
        document, at = json.JSONDecoder().raw_decode(text, at)
        found.append(document)
    return found
