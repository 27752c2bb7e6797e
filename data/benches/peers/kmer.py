"""The peer of the job `kmer`: the 6-mer tokenizer that the GENERator models are published with, its `tokenizer.py`.

    python3 -m venv VENV && VENV/bin/pip install transformers
    VENV/bin/python data/benches/peers/kmer.py tokenizer.py

Megabases of random bases a second, the best of five.
"""

import importlib.util
import random
import sys
import time

MEGABASES = 1


def main():
    spec = importlib.util.spec_from_file_location("tokenizer", sys.argv[1])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tokenizer = module.DNAKmerTokenizer(6, model_max_length=10**9)
    bases = "".join(random.Random(1).choices("ACGT", k=MEGABASES * 1_000_000))
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        ids = tokenizer(bases)["input_ids"]
        best = min(best, time.perf_counter() - start)
    assert len(ids) >= len(bases) // 6
    print(f"transformers, 6-mers: {MEGABASES / best:.2f} MB/s")


if __name__ == "__main__":
    main()
