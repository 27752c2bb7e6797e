#!/usr/bin/env bash
# The peer of our CPU benchmarks: PyTorch, in a virtual environment of its own.
#
#   benches/peers/run.sh encoder --shape 8x512 --attention sdpa --dtype f32 --threads 2
#   benches/peers/run.sh gemm --shape 4096x3072x768
#   benches/peers/run.sh attention --shape 1x12x4096x64 --bias
#
# Each call prints one JSON line and is one process, so that its peak memory is its own. `-h` lists the options.
set -euo pipefail

here="$(cd "$(dirname "$0")" && pwd)"
venv="${KILOBASE_PEERS_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/kilobase/peers-venv}"
torch="2.15.0"
numpy="2.4.6"

if [[ $# -eq 0 ]]; then
    sed -n '2,8s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
if ! "$venv/bin/python" -c "
import importlib.metadata as installed, sys
sys.exit(installed.version('torch').split('+')[0] != '$torch' or installed.version('numpy') != '$numpy')
" 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet "torch==$torch" "numpy==$numpy" >&2
fi
exec "$venv/bin/python" -B "$here/$1.py" "${@:2}"
