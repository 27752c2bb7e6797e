"""Scores of single-base variants with the decoder of `decoder.py`: seconds for one variant.

`llr` is what a script does that compares log-likelihoods: a forward pass over the window of each allele, those of a site (the
reference's and its alternates') in one batch, logits of the tokens from the variant on only. `vep` is the score of GENERator's authors: what is
upstream of each variant goes through the model, the law of the next token is summed over the tokens that begin with a base.
"""

import csv
import gzip
import itertools

import torch

import decoder
import measure

K, SPECIAL, START, SHARE, LEFT, RIGHT = 6, 32, 1, 600, 8192, 300
# The order of the bases in the vocabulary.
DIGITS = {base: digit for digit, base in enumerate("ATCG")}


def read(path):
    opened = gzip.open if path.endswith(".gz") else open
    with opened(path, "rt") as file:
        return file.read()


def sites(table, count):
    """The first `count` variants by their site: place from 0, reference, alternates."""
    rows = itertools.islice(csv.reader(read(table).splitlines()[1:]), count)
    for (place, reference), members in itertools.groupby(rows, key=lambda row: (int(row[1]) - 1, row[2])):
        yield place, reference, [row[3] for row in members]


def tokens(bases):
    """The start token and the whole 6-mers."""
    codes = [START]
    for i in range(0, len(bases) - K + 1, K):
        code = 0
        for base in bases[i : i + K]:
            code = 4 * code + DIGITS[base]
        codes.append(SPECIAL + code)
    return codes


def main():
    parser = measure.arguments(__doc__)
    parser.add_argument("--reference", required=True, help="FASTA of one sequence")
    parser.add_argument("--table", required=True, help="CSV: contig, position from 1 in that sequence, reference, alternate")
    parser.add_argument("--count", type=int, default=6, help="variants of a run")
    parser.add_argument("--score", choices=["llr", "vep"], default="llr")
    parser.add_argument("--attention", choices=decoder.ATTENTION, default="sdpa")
    args = parser.parse_args()
    dtype = measure.DTYPES[args.dtype]
    genome = "".join(read(args.reference).upper().split("\n")[1:])
    found = list(sites(args.table, args.count))
    variants = sum(len(alternates) for _, _, alternates in found)

    def prepare():
        model = decoder.Decoder(args.attention).to(dtype).eval()
        codes = torch.arange(decoder.VOCABULARY - SPECIAL)

        def states(ids):
            batch, length = ids.shape
            shape = (decoder.LAYERS, 2, batch, decoder.KV_HEADS, length, decoder.DIM)
            return model.states(ids, torch.empty(shape, dtype=dtype), 0)

        def llr(place, reference, alternates):
            start = max(place // SHARE * SHARE - LEFT, 0)
            end = place + 1 + RIGHT
            alleles = [genome[start:place] + base + genome[place + 1 : end] for base in [reference, *alternates]]
            ids = torch.tensor([tokens(allele) for allele in alleles])
            first = 1 + (place - start) // K
            logits = model.logits(states(ids)[:, first - 1 : -1]).float()
            logs = logits.log_softmax(-1).gather(-1, ids[:, first:, None]).sum((1, 2))
            return logs[1:] - logs[0]

        def vep(place, reference, alternates):
            context = genome[max(place - LEFT, 0) : place]
            ids = torch.tensor([tokens(context[len(context) % K :])] * len(alternates))
            law = model.logits(states(ids)[:, -1]).float().softmax(-1)[:, SPECIAL:]
            p = torch.stack([law[:, codes >> 2 * (K - 1) == digit].sum(-1) for digit in range(4)], -1)
            ratios = [p[i, DIGITS[reference]] / (p[i, DIGITS[base]] + 1e-10) for i, base in enumerate(alternates)]
            return torch.stack(ratios).log()

        score = {"llr": llr, "vep": vep}[args.score]

        def run():
            for site in found:
                assert score(*site).isfinite().all()

        return run

    what = {"what": args.score, "attention": args.attention, "variants": variants}
    measure.report(args, what, prepare, jobs=variants)


if __name__ == "__main__":
    main()
