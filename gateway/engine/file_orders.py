"""Our orders as a batch of a file's rows finds them: at each row as they are then, for one before may have moved them.

Which of them a row is about is judged in `gateway.core.reconcile`.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

from msgspec.structs import replace

from gateway.core.carrier_files import Row, Said
from gateway.core.reconcile import GIVEN_BACK, Ours, as_counted, lost_twins, meant, same_words
from gateway.store import carrier_files
from gateway.store.carrier_files import CarrierFile, names_of
from gateway.store.unit import Unit

_COLUMNS: Final = (
    *("id", "payment_id", "kind", "charge_attempt_id", "amount_minor", "currency", "status", "carrier_reference"),
)


class FileOrders:
    """The orders that these rows of *file* name, and the others of their payments."""

    def __init__(self, unit: Unit, file: CarrierFile, rows: Sequence[Row]) -> None:
        self._unit = unit
        self._file = file
        self._naming = unit.policy.names_in_files.get(file.carrier)
        ids, references = carrier_files.names(rows)
        named = carrier_files.named_orders(unit.conn, file.carrier, ids, references, self._naming)
        self._by_id, by_reference, self.of_payment = named
        self._ids = {name: order.id for name, order in by_reference.items()}
        every = {order.id for orders in self.of_payment.values() for order in orders}
        self.before = carrier_files.matched(unit.conn, every)
        """(attempt, what was said) → (file, line) of the row that said so first; added to."""
        self.rows = sorted(rows, key=self._turn)
        """What came back of a charge behind the charge itself, wherever the file has it."""
        self._like = Counter(map(self._under_charge, rows))

    def _turn(self, row: Row) -> int:
        """First what was taken, then what we ordered to give back, then what the carrier took back of the rest.

        A yes comes before a no to the same charge: of the two nobody is told both. What names a refund itself comes
        before what is told under its charge, and may be about a twin of it.
        """
        named = self.named(row)
        if named is not None and named.gives_back:
            return 1
        if row.said not in GIVEN_BACK:
            return 0 if row.said is Said.CHARGED else 1
        if named is None:  # Its charge's row may tell what the carrier calls it.
            return 3
        order = meant(row, named, self.of_payment[named.payment_id])
        return 2 if order.gives_back and order.amount_minor == row.amount_minor else 3

    def _under_charge(self, row: Row) -> tuple[str, int] | None:
        """The charge and the amount of a row that names no refund or reversal, but may tell of one."""
        named = self.named(row)
        if row.said not in GIVEN_BACK or named is None or named.gives_back:
            return None
        return named.charge_attempt_id, row.amount_minor

    def named(self, row: Row) -> Ours | None:
        return self._by_id.get(row.attempt_id or self._ids.get(row.carrier_reference, ""))

    def meant(self, row: Row, named: Ours) -> tuple[Ours, Sequence[Ours]]:
        """The order that *row* is about; and, if that is one of several that nobody can tell apart, all of these."""
        like = self._under_charge(row)
        rows_left = self._like[like]
        self._like[like] -= 1
        here, siblings = (self._file.id, row.line), self.of_payment[named.payment_id]
        counted = [one for one in siblings if self.before.get((one.id, row.said)) == here]
        if counted:  # The file was read before, and its orders may have moved since.
            return as_counted(row, counted[0], siblings), ()
        told = {one.id for one in siblings for said in same_words(row.said) if (one.id, said) in self.before}
        order = meant(row, named, siblings, told)
        twins = [] if order is named else lost_twins(row, named, order, siblings, told)
        return order, twins if len(twins) > max(1, rows_left) else ()

    def learn(self, payment_id: str) -> None:
        """A row has moved the payment: see how its orders are now, and those that were begun."""
        attempts = self._unit.attempts
        orders = {order.id: order for order in self.of_payment[payment_id]}
        for begun in attempts.begun(payment_id):
            orders.setdefault(begun["id"], Ours(**{name: begun[name] for name in _COLUMNS}))
        self.of_payment[payment_id] = [self._as_learned(order) for order in orders.values()]
        self._by_id |= {order.id: order for order in self.of_payment[payment_id]}
        for order in self.of_payment[payment_id]:
            for name in order.names:
                self._ids.setdefault(name, order.id)

    def _as_learned(self, order: Ours) -> Ours:
        learned = self._unit.attempts.learned(order.id)
        names = order.names | names_of(learned.get("carrier_reference"), self._naming)
        return replace(order, names=frozenset(names), **{name: learned[name] for name in _COLUMNS if name in learned})
