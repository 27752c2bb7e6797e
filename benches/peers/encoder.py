"""A DNABERT-2-sized encoder (MosaicBERT) of random weights, tokens to last hidden states.

Hidden size 768, 12 heads, gated GELU of 3072, post-norm, symmetric ALiBi as a dense bias built once and reused, as
the published code does. The bias has the dtype of the model.
"""

import math

import torch
from torch import nn

import measure

HIDDEN, HEADS, INNER, LAYERS, VOCABULARY = 768, 12, 3072, 12, 4096


def slopes(heads):
    """ALiBi slopes in the order of published weights."""
    power = 2 ** int(math.log2(heads))
    first = [2 ** (-8 * h / power) for h in range(1, power + 1)]
    between = [2 ** (-8 * h / (2 * power)) for h in range(1, 2 * power + 1, 2)]
    return torch.tensor((first + between)[:heads])


def alibi(heads, tokens, dtype):
    """The bias `-slope |i - j|`, [1, H, S, S]."""
    position = torch.arange(tokens, dtype=torch.float32)
    distance = (position[None, :] - position[:, None]).abs_()
    bias = torch.empty(1, heads, tokens, tokens, dtype=dtype)
    for head, slope in enumerate(slopes(heads)):
        bias[0, head] = distance * -slope
    return bias


def eager(q, k, v, bias):
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias
    return scores.softmax(-1) @ v


ATTENTION = {"eager": eager, "sdpa": nn.functional.scaled_dot_product_attention}


class Layer(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.attention = ATTENTION[attention]
        self.qkv = nn.Linear(HIDDEN, 3 * HIDDEN)
        self.out = nn.Linear(HIDDEN, HIDDEN)
        self.norm1 = nn.LayerNorm(HIDDEN, eps=1e-12)
        self.gated = nn.Linear(HIDDEN, 2 * INNER, bias=False)
        self.down = nn.Linear(INNER, HIDDEN)
        self.norm2 = nn.LayerNorm(HIDDEN, eps=1e-12)

    def forward(self, x, bias, rows):
        """`x` [T, hidden]: the tokens that `rows` [B, S] is true for."""
        qkv = self.qkv(x)
        if rows.all():
            qkv = qkv.view(*rows.shape, -1)
        else:
            qkv = torch.zeros(*rows.shape, 3 * HIDDEN, dtype=x.dtype).masked_scatter_(rows[..., None], qkv)
        q, k, v = qkv.unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)  # [B, H, S, D] each
        mixed = self.attention(q, k, v, bias).transpose(1, 2).flatten(2)  # [B, S, hidden]
        x = self.norm1(x + self.out(mixed[rows]))
        gate, value = self.gated(x).chunk(2, -1)
        return self.norm2(x + self.down(nn.functional.gelu(gate) * value))


class Encoder(nn.Module):
    def __init__(self, attention, layers):
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, HIDDEN)
        self.types = nn.Embedding(2, HIDDEN)
        self.norm = nn.LayerNorm(HIDDEN, eps=1e-12)
        self.layers = nn.ModuleList(Layer(attention) for _ in range(layers))

    def forward(self, ids, bias, rows):
        x = self.norm(self.words(ids[rows]) + self.types.weight[0])
        for layer in self.layers:
            x = layer(x, bias, rows)
        return x


def main():
    parser = measure.arguments(__doc__)
    shape = parser.add_mutually_exclusive_group(required=True)
    shape.add_argument("--shape", type=measure.numbers(2), help="sequences x tokens, as 8x512")
    shape.add_argument("--lengths", type=lambda text: [int(n) for n in text.split(",")], help="as 512,100,37")
    parser.add_argument("--attention", choices=ATTENTION, default="sdpa")
    parser.add_argument("--unpad", action="store_true", help="token-wise layers leave out padding, as in DNABERT-2")
    parser.add_argument("--layer", action="store_true", help="one layer instead of twelve")
    args = parser.parse_args()
    lengths = args.lengths or [args.shape[1]] * args.shape[0]
    dtype = measure.DTYPES[args.dtype]

    def prepare():
        longest = max(lengths)
        model = Encoder(args.attention, 1 if args.layer else LAYERS).to(dtype).eval()
        ids = torch.randint(5, VOCABULARY, (len(lengths), longest))
        valid = torch.arange(longest) < torch.tensor(lengths)[:, None]  # [B, S]
        bias = alibi(HEADS, longest, dtype)
        if not valid.all():
            bias = bias + torch.zeros(valid.shape, dtype=dtype).masked_fill_(~valid, -10000)[:, None, None, :]
        rows = valid if args.unpad else torch.ones_like(valid)
        return lambda: model(ids, bias, rows)

    what = {
        "what": "layer" if args.layer else "encoder",
        "attention": args.attention,
        "lengths" if args.lengths else "shape": args.lengths or args.shape,
        "unpad": args.unpad,
        "tokens": sum(lengths),
    }
    measure.report(args, what, prepare)


if __name__ == "__main__":
    main()
