#!/bin/sh
# Makes the user and the database of hpsearch on a new PostgreSQL server, as the official image runs it once.
# The user is no superuser: a worker's password opens this database and nothing else of the server.
set -e
: "${HPSEARCH_PASSWORD:?must be set to the password of the user hpsearch}"

psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --username="${POSTGRES_USER:-postgres}" --dbname=postgres <<'SQL'
\getenv password HPSEARCH_PASSWORD
CREATE ROLE hpsearch LOGIN PASSWORD :'password';
CREATE DATABASE hpsearch OWNER hpsearch TEMPLATE template0 ENCODING 'UTF8';
REVOKE ALL ON DATABASE hpsearch FROM PUBLIC;
-- A worker sets these for itself. Behind a pooler that shares connections between workers only these ones hold.
ALTER ROLE hpsearch IN DATABASE hpsearch SET lock_timeout = '30s';
ALTER ROLE hpsearch IN DATABASE hpsearch SET idle_in_transaction_session_timeout = '30s';
SQL
