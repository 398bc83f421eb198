"""How late the event loop is: a loop that is busy answers nobody, however fast each answer is."""

import asyncio
from collections import deque

SAMPLE_S = 0.05
SAMPLES_MAX = 1_200


class LoopLag:
    """Keeps the last minute of samples."""

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=SAMPLES_MAX)

    async def run(self) -> None:
        """Sample until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + SAMPLE_S
            await asyncio.sleep(SAMPLE_S)
            self._samples.append(max(0.0, loop.time() - due_s))

    def p99_s(self) -> float:
        """The lag that 99 of 100 samples stayed below."""
        ordered = sorted(self._samples)
        return ordered[len(ordered) * 99 // 100] if ordered else 0.0
