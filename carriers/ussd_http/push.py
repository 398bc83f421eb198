"""A session that we begin: the screen is posted to the aggregator, which calls back with what the phone types.

None of these aggregators documents such a call in public; those that have one agree on it with each customer. So the
request is in the words in which the style's own calls are, with two things that any such call needs: an id, and the
address to call back. Ours has the id in it, so that no step of the session has to be told apart from others.
"""

from collections.abc import Mapping
from functools import partial
from typing import Final
from urllib.parse import urlencode

import msgspec

from carriers import base
from carriers.ussd_http.settings import Settings
from gateway.failpoints import hit
from gateway.http_client import HttpAnswer, HttpClient, NoAnswer, NotSent

FORM: Final = "application/x-www-form-urlencoded"
JSON: Final = "application/json"
PLACE: Final = "push"
"""The segment of the callback's address behind which the id of such a session stands."""
_NAMES: Final[Mapping[str, tuple[str, str, str, str, str]]] = {
    "form": ("sessionId", "phoneNumber", "serviceCode", "text", "callbackUrl"),
    "hubtel": ("SessionId", "Mobile", "ServiceCode", "Message", "CallbackUrl"),
    "nalo": ("SESSIONID", "MSISDN", "SERVICECODE", "MSG", "CALLBACKURL"),
    "infobip": ("sessionId", "msisdn", "shortCode", "ussdMenu", "callbackUrl"),
}
"""By style: the id, the phone, the service code, the screen, and where to call back."""
_MAY_BE_TAKEN: Final = frozenset({408, 425})


class Pusher:
    """Posts screens; each once."""

    def __init__(self, carrier: str, settings: Settings) -> None:
        self._settings = settings
        self._client = HttpClient()
        token = f"/{settings.path_token}" if settings.path_token else ""
        self._callback = f"{settings.callback_base_url.rstrip('/')}/callbacks/{carrier}{token}/{PLACE}"

    async def push(self, ask: base.UssdAsk) -> base.SubmitResult:
        settings = self._settings
        headers = {"Content-Type": FORM if settings.style == "form" else JSON}
        if settings.push_header:
            headers[settings.push_header] = settings.push_secret
        try:
            answer = await self._client.request(
                "POST",
                settings.push_url,
                headers=headers,
                body=self._body(ask),
                timeout_s=settings.push_timeout_s,
                before_first_byte=partial(hit, "push.before_first_byte"),
                after_first_byte=partial(hit, "push.after_first_byte"),
            )
            hit("push.after_answer")
        except NotSent as error:
            return base.Refused(code="not_sent", detail=str(error), retryable=True)
        except NoAnswer as error:
            return base.Unknown(detail=str(error))
        return _judged(answer, ask)

    def _body(self, ask: base.UssdAsk) -> bytes:
        settings = self._settings
        phone = ask.msisdn if settings.style == "form" else ask.msisdn.removeprefix("+")
        values = (ask.id, phone, settings.service_code, ask.text, f"{self._callback}/{ask.id}")
        fields = dict(zip(_NAMES[settings.style], values, strict=True))
        return urlencode(fields).encode() if settings.style == "form" else msgspec.json.encode(fields)

    async def close(self) -> None:
        """Close every connection; a push after that opens another."""
        client, self._client = self._client, HttpClient()
        await client.close()


def _judged(answer: HttpAnswer, ask: base.UssdAsk) -> base.SubmitResult:
    """Only an explicit yes or no is final. What the body says is not kept: it may repeat the number."""
    if 200 <= answer.status < 300:
        return base.Submitted(message_ids=(ask.id,), segments=1)
    if 400 <= answer.status < 500 and answer.status not in _MAY_BE_TAKEN:
        return base.Refused(code=f"http_{answer.status}", detail="the aggregator shows no screen", retryable=False)
    return base.Unknown(detail=f"answered {answer.status}")
