#!/bin/sh
# The rules in one transaction, after your own migrations: everything or nothing.
set -eu
cat bellwire/rules/*.sql | psql "$DATABASE_URL" -v ON_ERROR_STOP=1 -1 -q -f -
