"""The loops that move payments: group commit, outbox lanes, what carriers tell us, deadlines. They decide nothing."""
