"""From factors and rain to classes, zones and exceedances: block by block, unknown kept unknown."""
