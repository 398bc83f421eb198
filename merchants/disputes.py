"""Disputes: what phones' owners say was wrong, and what the merchant answers."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from gateway.core.dispute import Act, PublicDispute, public_dispute
from gateway.core.ids import is_id
from gateway.engine.dispute_jobs import AnswerDispute
from gateway.engine.merchant_jobs import Answer
from gateway.store.disputes import disputes_of_merchant
from merchants import checks
from merchants.deps import Api
from merchants.operations import AnyOperation, Call, Operation, no_such
from merchants.payments import answered
from merchants.shapes import PAGE_DEFAULT, PAGE_MAX, Nothing, Request


class EvidenceRequest(Request, frozen=True, kw_only=True):
    """Why the payment was right."""

    text: Annotated[str, Meta(min_length=1, max_length=2000, description="What was delivered, when, to whom.")]


class DisputeQuery(Request, frozen=True, kw_only=True):
    """How many."""

    limit: Annotated[int, Meta(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT


class DisputeList(Struct, frozen=True, kw_only=True):
    """The newest disputes, newest first."""

    object: Literal["list"] = "list"
    data: list[PublicDispute]


class Disputes:
    """The handlers."""

    def __init__(self, api: Api) -> None:
        self._batcher = api.batcher
        self._reads = api.reads

    async def list(self, call: Call, query: DisputeQuery) -> DisputeList:
        owner = call.caller.owner
        found = await self._reads(
            lambda conn: disputes_of_merchant(conn, owner.merchant_id, owner.mode, limit=query.limit)
        )
        return DisputeList(data=[public_dispute(dispute) for dispute in found])

    async def evidence(self, call: Call, request: EvidenceRequest) -> Answer:
        return await self._answer(call, Act.ANSWER, checks.clean_text("text", request.text))

    async def accept(self, call: Call, request: Nothing) -> Answer:
        return await self._answer(call, Act.ACCEPT)

    async def _answer(self, call: Call, done: Act, evidence: str = "") -> Answer:
        if not is_id(call.id, "dsp_"):
            raise no_such("dispute", call.id)
        job = AnswerDispute(
            merchant_id=call.caller.merchant_id,
            mode=call.caller.mode,
            dispute_id=call.id,
            done=done,
            evidence=evidence,
            key=call.key,
            body_hash=call.body_hash,
        )
        return answered(await self._batcher.offer(job))


_PROBLEMS = ("not_found", "idempotency_mismatch", "dispute_closed")


def operations(api: Api) -> list[AnyOperation]:
    """Routes below `/v1/disputes`."""
    handlers = Disputes(api)
    return [
        Operation(
            method="GET",
            path="/v1/disputes",
            name="listDisputes",
            scope="payments:read",
            summary="List disputes, newest first",
            takes=DisputeQuery,
            gives=DisputeList,
            handle=handlers.list,
        ),
        Operation(
            method="POST",
            path="/v1/disputes/{id}/evidence",
            name="answerDispute",
            scope="payments:write",
            summary="Say why the payment was right",
            takes=EvidenceRequest,
            gives=PublicDispute,
            needs_key=True,
            problems=_PROBLEMS,
            handle=handlers.evidence,
        ),
        Operation(
            method="POST",
            path="/v1/disputes/{id}/accept",
            name="acceptDispute",
            scope="payments:write",
            summary="Give in: the money goes back",
            takes=Nothing,
            gives=PublicDispute,
            needs_key=True,
            problems=_PROBLEMS,
            handle=handlers.accept,
        ),
    ]
