#!/usr/bin/env bash
# Evaluate on several GPUs of one or more machines (or on several CPU processes where there is no GPU).
# Usage: tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [test.py arguments]
# More than one machine: set NNODES, NODE_RANK, MASTER_ADDR and MASTER_PORT on each.
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n '2,4s/^# //p' "$0"
    exit 2
fi
config=$1
checkpoint=$2
processes=$3
python -m torch.distributed.run --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$processes" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${MASTER_PORT:-29500}" \
    "$(dirname "$0")/test.py" "$config" "$checkpoint" --launcher pytorch "${@:4}"
