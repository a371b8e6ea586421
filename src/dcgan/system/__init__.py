"""Files, errors and exit codes, redaction, locks, signals."""
