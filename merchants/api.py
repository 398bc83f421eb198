"""The API of one gateway process: what it needs (`Api`), and the thing that is started and stopped (`ApiServer`)."""

from merchants.app import build
from merchants.deps import Api
from merchants.routing import CarrierTerms
from merchants.server import Serving, serve

__all__ = ["Api", "ApiServer", "CarrierTerms"]


class ApiServer:
    """The API on a port."""

    def __init__(self, api: Api, listen: tuple[str, int]) -> None:
        self._api = api
        self._listen = listen
        self._serving: Serving | None = None

    async def start(self) -> None:
        """Raise OSError if the port cannot be had."""
        host, port = self._listen
        self._serving = await serve(build(self._api), host, port, docs_url=self._api.docs_url)

    async def stop(self) -> None:
        if self._serving is not None:
            await self._serving.stop()
            self._serving = None

    @property
    def url(self) -> str:
        """Where it is reached; only while it runs."""
        assert self._serving is not None, "the API has not been started"
        return self._serving.url
