#!/bin/sh
# Run once by the PostGIS image, in an empty cluster: a role and a database for lswarn and for Prefect each, which cannot see into
# the other's. The extensions are made here, for an ordinary role may not.
set -eu
psql -v ON_ERROR_STOP=1 -v lswarn="$LSWARN_PASSWORD" -v prefect="$PREFECT_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE lswarn LOGIN PASSWORD :'lswarn';
CREATE ROLE prefect LOGIN PASSWORD :'prefect';
CREATE DATABASE lswarn OWNER lswarn;
CREATE DATABASE prefect OWNER prefect;
REVOKE CONNECT, TEMPORARY ON DATABASE lswarn, prefect FROM PUBLIC;
\connect lswarn
CREATE EXTENSION IF NOT EXISTS postgis;
CREATE EXTENSION IF NOT EXISTS postgis_raster;
\connect prefect
CREATE EXTENSION IF NOT EXISTS pg_trgm;
SQL
