"""The network: its shape, its loss, what it learns from, how it is trained, judged, kept and asked."""

import os

# Before torch is loaded: threads that spin while they wait stall each other wherever cores are shared, tenfold.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
