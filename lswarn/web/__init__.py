"""The face: a web server over what the database and the days' rasters hold. Only this room serves HTTP."""
