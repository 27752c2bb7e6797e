"""The peer of benches/dloco.rs: the codecs of Chamaeleo 1.34, megabytes of payload a second in each direction.

    python3 -m venv VENV && VENV/bin/pip install chamaeleo==1.34 && VENV/bin/python codecs/benches/chamaeleo.py

Random bits in segments of 128; processor time, the best of five. The times include what the package does before and after its codecs.
"""

import random
import time

from Chamaeleo.methods.fixed import Blawat, Church, Goldman, Grass
from Chamaeleo.methods.flowed import YinYangCode

SEGMENTS, BITS = 2000, 128


def main():
    rng = random.Random(1)
    segments = [[rng.randrange(2) for _ in range(BITS)] for _ in range(SEGMENTS)]
    megabytes = SEGMENTS * BITS / 8e6
    for codec in (Church(), Goldman(), Grass(), Blawat(), YinYangCode(yang_rule=[0, 1, 0, 1])):
        best = [float("inf"), float("inf")]
        for _ in range(5):
            start = time.process_time()
            written = codec.silicon_to_carbon([list(s) for s in segments], SEGMENTS * BITS)
            best[0] = min(best[0], time.process_time() - start)
            start = time.process_time()
            codec.carbon_to_silicon(written["dna"])
            best[1] = min(best[1], time.process_time() - start)
        name = type(codec).__name__
        print(f"{name:12} encode {megabytes / best[0]:8.3f} MB/s  decode {megabytes / best[1]:8.3f} MB/s")


if __name__ == "__main__":
    main()
