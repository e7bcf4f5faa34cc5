"""CAP 1.2, the Common Alerting Protocol of OASIS: a message as a document that other warning systems read."""
