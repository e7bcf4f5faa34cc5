"""The network: its shape, its loss, what it learns from, how it is trained, judged, kept and asked."""
