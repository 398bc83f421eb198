"""The HTTP client against servers that misbehave: what leaves, what is proven not to have left, and when it ends."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest
import uvloop

from gateway.http_client import HttpAnswer, HttpClient, Limits, NoAnswer, NotSent
from gateway.http_client.connection import Connection
from gateway.http_client.message import parse_url, render
from gateway.http_client.pool import Pool

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
SOON_S = 0.1
LONG_S = 20.0

# asyncio hands an accepted connection over some turns later; one that nobody took would be left open.
TURNS_TO_ACCEPT = 5

Play = Callable[["Peer", int], Awaitable[None]]


class Peer:
    """One accepted connection of a server under our thumb."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def read_request(self) -> bytes:
        head = await self.reader.readuntil(b"\r\n\r\n")
        _, found, length = head.lower().partition(b"content-length: ")
        return head + (await self.reader.readexactly(int(length.split(b"\r\n")[0])) if found else b"")

    async def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()

    async def hang(self) -> None:
        """Until the client goes away."""
        while await self.reader.read(1 << 16):
            pass


class Server:
    """Plays the same thing on every connection and keeps what it read."""

    def __init__(self, play: Play) -> None:
        self.port = 0
        self.accepted = 0
        self.requests: list[bytes] = []
        self.ended: asyncio.Queue[int] = asyncio.Queue()
        self._play = play
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/pay?id=1"

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def stop(self) -> None:
        for _ in range(TURNS_TO_ACCEPT):
            await asyncio.sleep(0)
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.accepted = self.accepted, self.accepted + 1
        try:
            await self._play(Peer(reader, writer), number)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            self.ended.put_nowait(number)


@asynccontextmanager
async def serving(play: Play) -> AsyncIterator[Server]:
    server = Server(play)
    listener = await asyncio.start_server(server.accept, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.stop()


@asynccontextmanager
async def using(**limits: float) -> AsyncIterator[HttpClient]:
    whole = {name: int(value) if name.endswith("_max") else value for name, value in limits.items()}
    client = HttpClient(Limits(**{"sweep_s": 0.01, **whole}))  # type: ignore[arg-type]  # Names of limits only.
    try:
        yield client
    finally:
        await client.close()


def saying(*pieces: bytes, then_hang: bool = False) -> Play:
    """One request, these pieces, then the end (or silence)."""

    async def play(peer: Peer, _: int) -> None:
        await peer.read_request()
        await peer.say(*pieces)
        if then_hang:
            await peer.hang()

    return play


async def answering(peer: Peer, _: int) -> None:
    while True:
        await peer.read_request()
        await peer.say(OK)


async def post(client: HttpClient, url: str, timeout_s: float = LONG_S, **more: object) -> HttpAnswer:
    return await client.request(
        "POST",
        url,
        headers={"X-Key": "k"},
        body=b"{}",
        timeout_s=timeout_s,
        **more,  # type: ignore[arg-type]  # Options of `request` by name.
    )


async def give_up(task: "asyncio.Task[HttpAnswer]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_request_is_written_as_the_url_and_the_caller_say() -> None:
    read: list[bytes] = []

    async def play(peer: Peer, _: int) -> None:
        read.append(await peer.read_request())
        await peer.say(b"HTTP/1.1 201 Created\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 5\r\n\r\nhello")

    async with serving(play) as server, using() as client:
        answer = await post(client, server.url)
        assert answer == HttpAnswer(201, {"x-a": "1, 2", "content-length": "5"}, b"hello")
        assert read == [
            b"POST /pay?id=1 HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Key: k\r\nContent-Length: 2\r\n\r\n{}" % server.port
        ]


async def test_one_connection_carries_one_request_after_another() -> None:
    async with serving(answering) as server, using() as client:
        for _ in range(5):
            assert (await post(client, server.url)).body == b"ok"
        assert server.accepted == 1


@pytest.mark.parametrize(
    ("pieces", "status", "body"),
    [
        pytest.param([bytes([octet]) for octet in OK], 200, b"ok", id="one byte at a time"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n", b"0\r\nT: 1\r\n\r\n"],
            200,
            b"hello",
            id="chunked with a trailer",
        ),
        pytest.param(
            [b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK], 200, b"ok", id="interim"
        ),
        pytest.param([b"HTTP/1.1 204 No Content\r\n\r\n"], 204, b"", id="no content"),
        pytest.param([b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"], 302, b"", id="redirect"),
        pytest.param([b"HTTP/1.0 200 OK\r\n\r\nall ", b"of it"], 200, b"all of it", id="ends with the connection"),
        pytest.param([OK + OK], 200, b"ok", id="two answers"),
        pytest.param([OK + b"\x00garbage"], 200, b"ok", id="garbage after the answer"),
    ],
)
async def test_a_whole_answer_is_taken(pieces: list[bytes], status: int, body: bytes) -> None:
    async with serving(saying(*pieces)) as server, using() as client:
        answer = await post(client, server.url)
        assert (answer.status, answer.body) == (status, body)


async def test_an_interim_answer_leaves_no_header_behind() -> None:
    async with serving(saying(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", OK)) as server, using() as client:
        assert (await post(client, server.url)).headers == {"content-length": "2"}


@pytest.mark.parametrize(
    ("pieces", "why"),
    [
        pytest.param([], "closed before", id="closed before the answer"),
        pytest.param([OK[:-1]], "closed before", id="half a body"),
        pytest.param([OK[:20]], "closed before", id="half a header"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"],
            "closed before",
            id="no last chunk",
        ),
        pytest.param([b"\x00\x01\xffSSH-2.0\r\n\r\n"], "malformed", id="garbage"),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
            "malformed",
            id="two lengths",
        ),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!"], "malformed", id="3 or 2"
        ),
        pytest.param(
            [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"], "switched", id="upgrade"
        ),
        pytest.param([b"HTTP/1.1 200 OK\r\nX: " + b"x" * 5000 + b"\r\n\r\n"], "header", id="huge header"),
        pytest.param([b"HTTP/1.1 200 OK\r\nX: " + b"x" * 5000], "header", id="header without end"),
        pytest.param([b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 1000 + b"\r\n"], "header", id="many headers"),
        pytest.param([b"HTTP/1.1 100 Continue\r\n\r\n" * 1000], "header", id="interim answers without end"),
        pytest.param([b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n" + b"x" * 9999], "body", id="huge body"),
        pytest.param(
            [
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"400\r\n" + b"x" * 1024 + b"\r\n",
                b"1\r\nx\r\n",
            ],
            "body",
            id="huge chunked body",
        ),
        pytest.param(
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nT: " + b"x" * 65536],
            "without end",
            id="trailer without end",
        ),
    ],
)
@pytest.mark.parametrize("is_cut", [False, True], ids=["at once", "in pieces"])
async def test_anything_else_is_no_answer(pieces: list[bytes], why: str, is_cut: bool) -> None:
    if is_cut:
        pieces = [piece[at : at + 7] for piece in pieces for at in range(0, len(piece), 7)]
    async with (
        serving(saying(*pieces)) as server,
        using(header_bytes_max=4096, body_bytes_max=1024) as client,
    ):
        with pytest.raises(NoAnswer, match=why):
            await post(client, server.url)


@pytest.mark.parametrize(
    "pieces",
    [
        pytest.param([], id="silence"),
        pytest.param([OK[:-1]], id="half a body"),
        pytest.param([OK[:9]], id="half a head"),
    ],
)
async def test_silence_ends_at_the_deadline(pieces: list[bytes]) -> None:
    async with serving(saying(*pieces, then_hang=True)) as server, using() as client:
        with pytest.raises(NoAnswer, match="in time"):
            await post(client, server.url, SOON_S)
        await asyncio.wait_for(server.ended.get(), LONG_S)


async def test_a_body_that_drips_ends_at_the_deadline_of_the_whole() -> None:
    async def play(peer: Peer, _: int) -> None:
        await peer.read_request()
        await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            await peer.say(b"x")
            await asyncio.sleep(0.01)

    async with serving(play) as server, using() as client:
        started = asyncio.get_running_loop().time()
        with pytest.raises(NoAnswer, match="in time"):
            await post(client, server.url, SOON_S)
        assert asyncio.get_running_loop().time() - started < SOON_S + LONG_S / 4


async def test_a_refused_connection_is_proof_that_nothing_was_sent() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Bound, and nobody listens.
        async with using() as client:
            with pytest.raises(NotSent, match="cannot connect"):
                await post(client, f"http://127.0.0.1:{taken.getsockname()[1]}/")


async def test_a_connection_that_does_not_come_about_in_time_is_proof_too() -> None:
    async with serving(answering) as server, using() as client:
        with pytest.raises(NotSent):
            await post(client, server.url, 0.0)
        assert not server.requests


async def test_tls_towards_a_server_without_is_proof_too() -> None:
    async def play(peer: Peer, _: int) -> None:
        await peer.say(b"I speak no TLS\r\n\r\n")
        await peer.hang()

    async with serving(play) as server, using() as client:
        with pytest.raises(NotSent):
            await post(client, server.url.replace("http:", "https:"))


@pytest.mark.parametrize(
    "url", ["ftp://a/", "http://", "//a/", "http://u:p@a/", "http://a:x/", "http://[::1/", "http://a/ b", "http://a/é"]
)
async def test_a_url_that_we_cannot_ask_is_not_sent(url: str) -> None:
    async with using() as client:
        with pytest.raises(NotSent, match="expected a URL"):
            await post(client, url)


@pytest.mark.parametrize(
    ("name", "value"), [("X", "1\r\nY: 2"), ("X\r\nY", "1"), ("X Y", "1"), ("X", "\u20ac"), ("", "1")]
)
async def test_a_header_cannot_bring_another_one_along(name: str, value: str) -> None:
    async with using() as client:
        with pytest.raises(NotSent, match="header"):
            await client.request("GET", "http://127.0.0.1:9/", headers={name: value}, timeout_s=1)


@pytest.mark.parametrize(
    ("url", "host", "port", "host_header", "target"),
    [
        ("http://a.example", "a.example", 80, "a.example", "/"),
        ("https://A.example:443/x?y#z", "a.example", 443, "a.example", "/x?y"),
        ("https://a.example:8443/x", "a.example", 8443, "a.example:8443", "/x"),
        ("http://[::1]:81/?q=%20", "::1", 81, "[::1]:81", "/?q=%20"),
        ("http://bücher.example/", "xn--bcher-kva.example", 80, "xn--bcher-kva.example", "/"),
    ],
)
def test_urls_are_read(url: str, host: str, port: int, host_header: str, target: str) -> None:
    assert parse_url(url)[1:] == (host, port, host_header, target)


def test_a_get_has_no_length_and_an_empty_post_has_one() -> None:
    where = parse_url("http://a/")
    assert render("GET", where, {}, b"") == b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    assert render("POST", where, {}, b"") == b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"


async def test_a_connection_may_go_elsewhere_than_the_url_says() -> None:
    hosts: list[bytes] = []

    async def play(peer: Peer, _: int) -> None:
        hosts.append((await peer.read_request()).split(b"\r\n")[1])
        await peer.say(OK)

    async with serving(play) as server, using() as client:
        await post(client, "http://shop.example/hook", connect_to=("127.0.0.1", server.port))
        assert hosts == [b"Host: shop.example"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", id="told to close"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", id="HTTP/1.0"),
        pytest.param(OK + OK, id="two answers"),
        pytest.param(OK + b"\x00", id="a stray byte"),
    ],
)
async def test_such_a_connection_is_not_used_again(answer: bytes) -> None:
    async with serving(saying(answer, then_hang=True)) as server, using() as client:
        for _ in range(2):
            assert (await post(client, server.url)).body == b"ok"
        assert server.accepted == 2


async def test_a_kept_connection_that_the_server_closed_is_seen_before_the_next_request() -> None:
    async with serving(saying(OK)) as server, using() as client:
        for number in range(20):
            assert (await post(client, server.url)).body == b"ok"
            assert await asyncio.wait_for(server.ended.get(), LONG_S) == number


async def test_an_answer_that_nobody_asked_for_does_not_become_the_next_ones() -> None:
    late: asyncio.Queue[None] = asyncio.Queue()

    async def play(peer: Peer, number: int) -> None:
        await peer.read_request()
        await peer.say(OK)
        if number == 0:
            await late.get()
            await peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")
        await peer.hang()

    async with serving(play) as server, using(idle_s=3600.0) as client:
        await post(client, server.url)
        late.put_nowait(None)
        assert await asyncio.wait_for(server.ended.get(), LONG_S) == 0  # The client has hung up by itself.
        assert (await post(client, server.url)).body == b"ok"


async def test_a_kept_connection_that_dies_under_the_request_is_no_answer() -> None:
    """The server read it or did not; nobody can know, so it is not sent again."""

    async def play(peer: Peer, _: int) -> None:
        await peer.read_request()
        await peer.say(OK)
        await peer.read_request()

    async with serving(play) as server, using() as client:
        await post(client, server.url)
        with pytest.raises(NoAnswer):
            await post(client, server.url)
        assert server.accepted == 1


async def test_an_idle_connection_is_closed_and_a_client_without_any_sleeps() -> None:
    async with serving(answering) as server, using(idle_s=0.02) as client:
        await post(client, server.url)
        assert await asyncio.wait_for(server.ended.get(), LONG_S) == 0
        await post(client, server.url)
        assert server.accepted == 2


async def test_requests_above_the_limit_wait_their_turn() -> None:
    open_now, most = 0, 0
    order: list[bytes] = []

    async def play(peer: Peer, _: int) -> None:
        nonlocal open_now, most
        while True:
            order.append((await peer.read_request()).split(b" ")[1])
            open_now += 1
            most = max(most, open_now)
            await asyncio.sleep(0)
            open_now -= 1
            await peer.say(OK)

    async with serving(play) as server, using(connections_per_host_max=2) as client:
        urls = [f"http://127.0.0.1:{server.port}/{number}" for number in range(50)]
        await asyncio.gather(*(post(client, url) for url in urls))
        assert server.accepted == 2
        assert most <= 2
        # Two connections may overtake each other by one, nobody is left behind.
        assert all(abs(int(path[1:]) - place) <= 2 for place, path in enumerate(order))


async def test_whoever_gets_no_turn_in_time_has_sent_nothing() -> None:
    async with serving(saying(then_hang=True)) as server, using(connections_per_host_max=1) as client:
        first = asyncio.create_task(post(client, server.url))
        await asyncio.sleep(0)
        with pytest.raises(NotSent, match="no free connection"):
            await post(client, server.url, SOON_S)
        await give_up(first)


async def test_a_queue_that_is_full_is_said_at_once() -> None:
    async with (
        serving(saying(then_hang=True)) as server,
        using(connections_per_host_max=1, waiting_per_host_max=1) as client,
    ):
        waiting = [asyncio.create_task(post(client, server.url)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(NotSent, match="wait for"):
            await post(client, server.url)
        await give_up(waiting.pop())
        with pytest.raises(NotSent, match="no free connection"):  # It did wait.
            await post(client, server.url, SOON_S)
        await give_up(waiting.pop())


async def test_the_number_of_hosts_is_bounded_and_idle_ones_make_room() -> None:
    async with serving(answering) as one, serving(saying(then_hang=True)) as two, using(hosts_max=1) as client:
        await post(client, one.url)
        held = asyncio.create_task(post(client, two.url))
        await asyncio.sleep(0)
        with pytest.raises(NotSent, match="hosts"):
            await post(client, one.url)
        await give_up(held)


async def test_a_connection_lost_gives_its_place_to_the_next() -> None:
    async def play(peer: Peer, number: int) -> None:
        await peer.read_request()
        if number:
            await peer.say(OK)

    async with serving(play) as server, using(connections_per_host_max=1) as client:
        results = await asyncio.gather(*(post(client, server.url) for _ in range(4)), return_exceptions=True)
        assert [type(result) for result in results] == [NoAnswer, HttpAnswer, HttpAnswer, HttpAnswer]


@pytest.mark.parametrize("turns", range(8))
async def test_whoever_gives_up_leaves_a_working_client(turns: int) -> None:
    async with serving(answering) as server, using(connections_per_host_max=1) as client:
        tasks = [asyncio.create_task(post(client, server.url)) for _ in range(6)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in tasks[:5]:
            await give_up(task)
        assert (await tasks[5]).body == b"ok"
        assert (await post(client, server.url)).body == b"ok"


async def test_whoever_gives_up_frees_the_connection_at_once() -> None:
    async with serving(saying(then_hang=True)) as server, using() as client:
        written = asyncio.Event()
        task = asyncio.create_task(post(client, server.url, 3600.0, after_first_byte=written.set))
        await asyncio.wait_for(written.wait(), LONG_S)
        await give_up(task)
        assert await asyncio.wait_for(server.ended.get(), LONG_S) == 0


async def test_whoever_gives_up_in_the_moment_of_his_turn_hands_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: list[asyncio.Task[HttpAnswer]] = []
    hand_on = Pool._hand_on

    def hand_on_too_late(pool: Pool, connection: Connection | None) -> None:
        hand_on(pool, connection)
        while waiting:
            waiting.pop().cancel()

    monkeypatch.setattr(Pool, "_hand_on", hand_on_too_late)
    async with serving(answering) as server, using(connections_per_host_max=1) as client:
        first, second = (asyncio.create_task(post(client, server.url)) for _ in range(2))
        waiting.append(second)
        assert (await first).body == b"ok"
        with pytest.raises(asyncio.CancelledError):
            await second
        assert (await post(client, server.url)).body == b"ok"
        assert server.accepted == 1


async def test_connections_that_died_do_not_raise_the_limit() -> None:
    open_now, most = 0, 0

    async def play(peer: Peer, number: int) -> None:
        nonlocal open_now, most
        if number < 6:
            await peer.read_request()
            return
        open_now += 1
        most = max(most, open_now)
        try:
            await answering(peer, number)
        finally:
            open_now -= 1

    async with serving(play) as server, using(connections_per_host_max=2) as client:
        for _ in range(6):
            with pytest.raises(NoAnswer):
                await post(client, server.url)
        await asyncio.gather(*(post(client, server.url) for _ in range(20)))
        assert most == 2


async def test_the_hooks_stand_on_both_sides_of_the_first_byte() -> None:
    seen: list[str] = []

    async def play(peer: Peer, _: int) -> None:
        await peer.read_request()
        seen.append("read")
        await peer.say(OK)

    async with serving(play) as server, using() as client:
        await post(
            client,
            server.url,
            before_first_byte=lambda: seen.append("before"),
            after_first_byte=lambda: seen.append("after"),
        )
        assert seen == ["before", "after", "read"]


async def test_no_hook_is_called_if_nothing_leaves() -> None:
    async with using() as client:
        with pytest.raises(NotSent):
            await post(client, "http://127.0.0.1:1/", before_first_byte=lambda: pytest.fail("nothing was to leave"))


async def test_a_closed_client_answers_those_who_wait_and_takes_no_more() -> None:
    async with serving(saying(then_hang=True)) as server, using(connections_per_host_max=1) as client:
        heard: asyncio.Event = asyncio.Event()
        sent = asyncio.create_task(post(client, server.url, after_first_byte=heard.set))
        waits = asyncio.create_task(post(client, server.url))
        await asyncio.wait_for(heard.wait(), LONG_S)
        await client.close()
        with pytest.raises(NoAnswer):
            await sent
        with pytest.raises(NotSent):
            await waits
        with pytest.raises(NotSent, match="closed"):
            await post(client, server.url)


@pytest.mark.parametrize(
    "test",
    [
        test_one_connection_carries_one_request_after_another,
        test_a_body_that_drips_ends_at_the_deadline_of_the_whole,
        test_a_refused_connection_is_proof_that_nothing_was_sent,
        test_a_connection_that_does_not_come_about_in_time_is_proof_too,
        test_a_kept_connection_that_the_server_closed_is_seen_before_the_next_request,
        test_an_answer_that_nobody_asked_for_does_not_become_the_next_ones,
        test_a_kept_connection_that_dies_under_the_request_is_no_answer,
        test_requests_above_the_limit_wait_their_turn,
        test_whoever_gives_up_frees_the_connection_at_once,
        test_the_hooks_stand_on_both_sides_of_the_first_byte,
        test_a_closed_client_answers_those_who_wait_and_takes_no_more,
    ],
)
def test_the_same_holds_on_uvloop(test: Callable[[], Coroutine[None, None, None]]) -> None:
    """The loop of production, which writes, connects and closes in other turns than asyncio's."""
    uvloop.run(asyncio.wait_for(test(), LONG_S))
