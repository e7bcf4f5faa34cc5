"""The ways a message may go: each has a class or function of its own, and all take the same `Outgoing`."""
