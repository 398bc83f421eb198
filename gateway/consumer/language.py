"""LANG: in which language a phone is written to. Remembered; what waits already goes on in its own."""

from collections.abc import Mapping
from dataclasses import replace

from gateway.core.asks import Catalogues
from gateway.core.keywords import Language
from gateway.engine.inbox import Inbound
from gateway.store.rows import Consumer
from gateway.store.unit import Unit


class Languages:
    """The handler, for one set of carriers."""

    def __init__(self, catalogues: Mapping[str, Catalogues]) -> None:
        """*catalogues*: by carrier, the languages that its phones may choose."""
        self._offered = {
            carrier: {_name(language): language for language in sorted(spoken.languages)}
            for carrier, spoken in catalogues.items()
        }

    def language(self, inbound: Inbound) -> None:
        command = inbound.reply.command
        assert isinstance(command, Language)
        offered = self._offered[inbound.mo.carrier]
        chosen = offered.get(command.code.upper())
        if chosen is not None:
            speak(inbound.unit, inbound.consumer, chosen)
        replace(inbound, language=chosen or inbound.language).answer("language", choices=", ".join(offered))


def speak(unit: Unit, consumer: Consumer, language: str) -> None:
    """Write to this locked phone in *language* from now on."""
    consumer.language = language
    unit.touch(consumer)


def _name(language: str) -> str:
    """What people write for it: `zh-Hant` is ZH."""
    return language.partition("-")[0].upper()
