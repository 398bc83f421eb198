"""What one bearer counts over all its binds, for the metrics. It decides nothing."""

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Of one bearer, over all its binds."""

    submitted: int = 0
    """Parts that were taken."""
    refused: int = 0
    timed_out: int = 0
    late_responses: int = 0
    received: int = 0
    """Texts of phones that are committed."""
    receipts: int = 0
    put_off: int = 0
    """Requests of the SMSC that were answered with a temporary error."""
    rejected: int = 0
    """Texts whose sender is no phone."""
    reconnects: int = 0
