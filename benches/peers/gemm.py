"""`linear(x [M, K], weight [N, K])`, the product of every projection."""

import torch

import measure


def main():
    parser = measure.arguments(__doc__)
    parser.add_argument("--shape", type=measure.numbers(3), required=True, help="MxNxK")
    args = parser.parse_args()
    m, n, k = args.shape
    dtype = measure.DTYPES[args.dtype]

    def prepare():
        x, weight = torch.randn(m, k, dtype=dtype), torch.randn(n, k, dtype=dtype)
        return lambda: torch.nn.functional.linear(x, weight)

    measure.report(args, {"what": "gemm", "shape": args.shape}, prepare)


if __name__ == "__main__":
    main()
