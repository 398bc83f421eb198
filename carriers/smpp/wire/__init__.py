"""SMPP bytes in, events out: no socket, no clock, no thread. The same machine plays ESME and SMSC."""
