#!/usr/bin/env bash
# Training steps of a decoder of 3 million weights: ours (`kilobase pretrain`) and PyTorch's, in turns on the same machine.
#
#   cargo build --release && benches/train.sh [sequences x tokens] [rounds]
#
# Prints the seconds of three steps after the first, and peak memory. Sequences are of tokens - 1 six-mers and their start mark.
set -euo pipefail

shape="${1:-32x257}"
rounds="${2:-2}"
here="$(cd "$(dirname "$0")/.." && pwd)"
program="${KILOBASE:-${CARGO_TARGET_DIR:-$here/target}/release/kilobase}"
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
sequences="${shape%x*}"
tokens="${shape#*x}"

recipe() {
    cat <<TOML
goal = "causal"
compute = "$1"
[model]
model_type = "llama"
hidden_size = 192
num_hidden_layers = 6
num_attention_heads = 6
num_key_value_heads = 2
intermediate_size = 512
rms_norm_eps = 1e-5
tie_word_embeddings = true
[tokenizer]
kmer = 6
[[data]]
name = "lambda"
files = ["$here/tests/data/lambda.fa.gz"]
repeat = 8
[batch]
window = $(((tokens - 1) * 6))
windows = $sequences
keep = ${KEEP:-\"graph\"}
[schedule]
steps = 5
[held_out]
share = 0.0
every = 0
markov = 0
[checkpoint]
every = 0
TOML
}

for ((round = 1; round <= rounds; round++)); do
    for dtype in f32 bf16; do
        recipe "$dtype" >"$folder/recipe.toml"
        rm -rf "$folder/run"
        /usr/bin/time -f "%M" -o "$folder/memory" "$program" --threads 2 pretrain "$folder/recipe.toml" -o "$folder/run" -q
        # The last window of a genome is shorter: its step does not count.
        seconds="$(grep "\"tokens\":$((sequences * tokens))," "$folder/run/log.jsonl" |
            sed -n 's/.*"seconds":\([0-9.]*\).*/\1/p' | sed -n 2,4p | tr '\n' ' ')"
        printf 'ours    %s %s  seconds %s peak %s KiB\n' "$shape" "$dtype" "$seconds" "$(cat "$folder/memory")"
        "$here/benches/peers/run.sh" train --shape "$shape" --threads 2 --dtype "$dtype" --repeats 3 |
            sed -n 's/.*"seconds": \([0-9.a-z]*\).*"peak_rss_bytes": \([0-9]*\).*/\1 \2/p' |
            awk -v shape="$shape" -v dtype="$dtype" \
                '{ printf "PyTorch %s %s  seconds %s peak %d KiB\n", shape, dtype, $1, $2 / 1024 }'
    done
done
