#!/usr/bin/env bash
# Installs PostgreSQL 15 (Debian's) where it is missing, so that the ledger's tests can run on it.
set -euo pipefail
[ -x /usr/lib/postgresql/15/bin/initdb ] && exit 0
command -v apt-get >/dev/null || { echo "integration/postgresql: no PostgreSQL 15 here, and no apt to install it; nothing was changed." >&2; exit 1; }
echo "integration/postgresql: installing postgresql-15" >&2
apt-get update -qq
# Without the cluster that the package would make and start by itself.
mkdir -p /etc/postgresql-common/createcluster.d
echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.d/runbook.conf
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql-15 >/dev/null
