"""What can be chosen about the SMSC. No behaviour."""

import msgspec

from simulators.smsc_messages import MessageIds


class SmscSettings(msgspec.Struct, frozen=True, kw_only=True):
    accounts: dict[str, str] = msgspec.field(default_factory=lambda: {"gateway": "secret"})
    """system_id to password."""
    binds_max: int = 8
    """Per account; one more is refused as already bound."""
    message_ids: MessageIds = MessageIds.DECIMAL
    first_message_number: int = 1_000_000_001
    window: int = 50
    """deliver_sm under way per link."""
    response_timeout_s: float = 10.0
    enquire_interval_s: float = 30.0
    attempts_max: int = 20
    """How often one deliver_sm is handed out before it is given up."""
    retry_delay_s: float = 1.0
    late_response_s: float = 2.0
    receipt_delay_s: float = 0.0
    receipt_late_s: float = 5.0
    receipt_lead_s: float = 0.2
    """How far a receipt runs ahead of the response it belongs to, when told to."""
    freeze_s: float = 30.0
