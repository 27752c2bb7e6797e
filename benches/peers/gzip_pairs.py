"""Microseconds a pair of Python's gzip, as the paper's code calls it: C(x), C(y) and C(xy) for each pair, and C(xy) alone.

python3 benches/peers/gzip_pairs.py ../shared/data/genefamily/chimp_data.txt.gz
"""

import gzip
import sys
import time

rows = [line.split("\t")[0].encode() for line in gzip.open(sys.argv[1], "rt").read().splitlines()[1:]]
pairs = [(rows[i], rows[j]) for i in range(0, len(rows), 97) for j in range(0, len(rows), 23)]
for name, texts in [("three", lambda x, y: (x, y, x + b" " + y)), ("joint", lambda x, y: (x + b" " + y,))]:
    begun = time.process_time()
    for x, y in pairs:
        for text in texts(x, y):
            len(gzip.compress(text))
    print(name, len(pairs), "pairs", round(1e6 * (time.process_time() - begun) / len(pairs), 1), "us a pair")
