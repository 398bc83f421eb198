"""Fees and taxes on a payment, in minor units of its currency."""

from typing import Final

import msgspec


class Fees(msgspec.Struct, frozen=True, kw_only=True):
    """What is taken of an amount before the merchant has the rest; each part is a leg and a line of the statement."""

    carrier_share_minor: int = 0
    fee_minor: int = 0
    vat_minor: int = 0
    withholding_minor: int = 0

    @property
    def total_minor(self) -> int:
        return self.carrier_share_minor + self.fee_minor + self.vat_minor + self.withholding_minor


NO_FEES: Final = Fees()
