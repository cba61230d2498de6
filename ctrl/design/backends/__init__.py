"""Who answers a conversation about reward code: a server, a stored exchange, or a script."""
