#!/usr/bin/env bash
# Loads the last days into Parquet, a file a day, and replaces those that are there: late corrections arrive, nothing doubles.
# By cron, once a night:  15 4 * * *  /opt/genesys-reports/load.sh /warehouse
# Further arguments go to every `run`, such as --demo to try it without an account.
set -euo pipefail

warehouse=${1:?the folder of the warehouse}
shift
program=${PROGRAM:-genesys-reports}
days=${DAYS:-7}
zone=${ZONE:-Europe/Berlin}

load() {
    local table=$1
    shift
    "$program" run "$@" --from "now-${days}d/d" --to now/d --param "timeZone=$zone" \
        --append-partition "$warehouse/$table"
}

load conversations conversation-list "$@"
load queues queue-performance --param interval=PT30M "$@"
load agents agent-performance --param interval=P1D "$@"
