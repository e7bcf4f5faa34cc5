"""The demo world: real terrain under made rain, with a hidden truth that decides where the ground gives way."""

# Before ecCodes (gribs), whose wheel puts its own PROJ before later ones: pyproj, loaded after it, breaks the heap.
import pyproj as pyproj
