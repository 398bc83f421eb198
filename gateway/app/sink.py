"""What carriers hand in becomes a job of the next batch; it is acknowledged to them only after its commit."""

from collections.abc import Mapping

from carriers import base
from gateway.consumer.ussd import UssdStepped
from gateway.consumer.ussd_visit import Desks
from gateway.core.asks import Catalogues
from gateway.core.reply import Meaning
from gateway.engine.batcher import Batcher, Busy
from gateway.engine.carrier_jobs import CallbackRead, ReceiptRead
from gateway.engine.inbox import KeywordHandler, MoReceived
from gateway.store.apply import Job


class CarrierSink:
    """The one door through which carriers speak."""

    def __init__(
        self,
        batcher: Batcher,
        keywords: Mapping[Meaning, KeywordHandler],
        modes: Mapping[str, str],
        languages: Mapping[str, str],
        catalogues: Mapping[str, Catalogues],
    ) -> None:
        """By carrier: *modes*, whether its phones are simulated or real, *languages*, of phones that chose none, and
        *catalogues*, what it may speak.
        """
        self._batcher = batcher
        self._keywords = keywords
        self._modes = modes
        self._languages = languages
        self._catalogues = catalogues

    async def __call__(self, said: base.Mo | base.Receipt | base.Callback) -> None:
        """Return once *said* is on disk. Raise Overloaded when there is no room for it."""
        # A receipt is in no hurry: it rides along with what moves money.
        is_urgent = not isinstance(said, base.Receipt)
        try:
            written = self._batcher.offer(self._job(said), wake=is_urgent, vital=True)
        except Busy as busy:
            raise base.Overloaded(str(busy)) from busy
        await written

    def _job(self, said: base.Mo | base.Receipt | base.Callback) -> Job:
        match said:
            case base.Mo():
                spoken = self._catalogues[said.carrier].languages
                return MoReceived(
                    said, self._keywords, self._modes[said.carrier], self._languages[said.carrier], spoken
                )
            case base.Receipt():
                return ReceiptRead(said, self._modes[said.carrier])
            case base.Callback():
                return CallbackRead(said)


class UssdSteps:
    """The door through which phones' sessions come."""

    def __init__(self, batcher: Batcher, desks: Desks) -> None:
        self._batcher = batcher
        self.desks = desks

    async def __call__(self, step: base.UssdStep) -> base.UssdAnswer:
        """Return once *step* is on disk. Raise Overloaded when there is no room for it."""
        try:
            written = self._batcher.offer(UssdStepped(step, self.desks[step.carrier]), vital=True)
        except Busy as busy:
            raise base.Overloaded(str(busy)) from busy
        answer = await written
        assert isinstance(answer, base.UssdAnswer)
        return answer
