"""`scaled_dot_product_attention` on [B, H, S, D], with or without an ALiBi bias [1, H, S, S]."""

import torch

import measure
from encoder import alibi


def main():
    parser = measure.arguments(__doc__)
    parser.add_argument("--shape", type=measure.numbers(4), required=True, help="BxHxSxD")
    parser.add_argument("--bias", action="store_true", help="with the symmetric ALiBi bias as a dense mask")
    parser.add_argument("--causal", action="store_true")
    args = parser.parse_args()
    if args.bias and args.causal:
        parser.error("torch takes a mask or is_causal, not both")
    _, heads, tokens, _ = args.shape
    dtype = measure.DTYPES[args.dtype]

    def prepare():
        q, k, v = (torch.randn(args.shape, dtype=dtype) for _ in range(3))
        bias = alibi(heads, tokens, dtype) if args.bias else None
        attention = torch.nn.functional.scaled_dot_product_attention
        return lambda: attention(q, k, v, attn_mask=bias, is_causal=args.causal)

    what = {"what": "attention", "shape": args.shape, "bias": args.bias, "causal": args.causal}
    measure.report(args, what, prepare)


if __name__ == "__main__":
    main()
