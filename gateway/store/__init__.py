"""What is kept: tables, one transaction per batch, outbox. All SQL lives here, and no carrier is known here."""
