"""From exposure to a message that arrives: what is to be said, how it reads, and how it is sent."""
