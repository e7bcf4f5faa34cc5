"""What is openly to be had of a region nobody has watched yet: found, fetched, cut, written into a region.toml."""
