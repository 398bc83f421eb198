"""New ids: time-ordered UUIDs under our prefixes. The one place of the store where chance enters."""

import uuid_utils

from gateway.core.ids import encode_id


def new_id(prefix: str) -> str:
    """A new id, for instance `new_id("pay_")`; ids made later sort later."""
    return encode_id(prefix, uuid_utils.uuid7().bytes)
