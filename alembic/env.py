"""Alembic's entry: runs the migrations on the connection that `gateway.store.migrate` hands over.

Never started by `alembic` on the command line: `gateway migrate` is the one way, so that there is one configuration.
"""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, transaction_per_migration=False, render_as_batch=False)
with context.begin_transaction():
    context.run_migrations()
