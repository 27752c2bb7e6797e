"""A Llama of 100 M parameters and random weights over 6-mers: prefill of a prompt, or decoding after one.

Hidden size 768, 14 layers, 12 heads of 64 and 4 key/value heads, gated SiLU of 2048, rotary positions. Keys and values
go into tensors that are allocated once. `prefill` ends with the logits of the last token, `decode` gives the seconds of
one token with all before it in the cache.
"""

import torch
from torch import nn

import measure

HIDDEN, HEADS, KV_HEADS, DIM, INNER, LAYERS, VOCABULARY, THETA = 768, 12, 4, 64, 2048, 14, 4128, 500000.0
# Tokens that are decoded in one run.
STEPS = 16


def eager(q, k, v, causal):
    """Grouped heads without copies of the keys: [B, KV, G, S, D]."""
    batch, heads, queries, dim = q.shape
    q = q.view(batch, KV_HEADS, heads // KV_HEADS, queries, dim)
    scores = q @ k[:, :, None].transpose(-1, -2) / dim**0.5
    if causal:
        scores += torch.full((queries, k.shape[2]), float("-inf"), dtype=q.dtype).triu(k.shape[2] - queries + 1)
    return (scores.softmax(-1) @ v[:, :, None]).view(batch, heads, queries, dim)


def sdpa(q, k, v, causal):
    return nn.functional.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)


ATTENTION = {"eager": eager, "sdpa": sdpa}


class Layer(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.attention = ATTENTION[attention]
        self.norm1 = nn.RMSNorm(HIDDEN, eps=1e-5)
        self.qkv = nn.Linear(HIDDEN, (HEADS + 2 * KV_HEADS) * DIM, bias=False)
        self.out = nn.Linear(HEADS * DIM, HIDDEN, bias=False)
        self.norm2 = nn.RMSNorm(HIDDEN, eps=1e-5)
        self.gated = nn.Linear(HIDDEN, 2 * INNER, bias=False)
        self.down = nn.Linear(INNER, HIDDEN, bias=False)

    def forward(self, x, cache, start, turn):
        """`x` [B, S, hidden]; `cache` is keys and values [2, B, KV, length, D], filled up to `start`."""
        qkv = self.qkv(self.norm1(x)).unflatten(-1, (-1, DIM)).transpose(1, 2)  # [B, H, S, D]
        q, k, v = qkv.split([HEADS, KV_HEADS, KV_HEADS], 1)
        end = start + x.shape[1]
        cache[0, :, :, start:end] = turn(k)
        cache[1, :, :, start:end] = v
        mixed = self.attention(turn(q), cache[0, :, :, :end], cache[1, :, :, :end], start == 0)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        gate, value = self.gated(self.norm2(x)).chunk(2, -1)
        return x + self.down(nn.functional.silu(gate) * value)


class Decoder(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, HIDDEN)
        self.layers = nn.ModuleList(Layer(attention) for _ in range(LAYERS))
        self.norm = nn.RMSNorm(HIDDEN, eps=1e-5)
        self.head = nn.Linear(HIDDEN, VOCABULARY, bias=False)

    def states(self, ids, caches, start):
        """What the last layer gives, `[B, S, hidden]`."""
        frequencies = THETA ** (-torch.arange(0, DIM, 2) / DIM)
        angles = torch.arange(start, start + ids.shape[1])[:, None] * frequencies
        cos, sin = angles.cos().to(self.head.weight.dtype), angles.sin().to(self.head.weight.dtype)

        def turn(x):
            a, b = x.chunk(2, -1)
            return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

        x = self.words(ids)
        for layer, cache in zip(self.layers, caches):
            x = layer(x, cache, start, turn)
        return x

    def logits(self, states):
        return self.head(self.norm(states))

    def forward(self, ids, caches, start):
        return self.logits(self.states(ids, caches, start)[:, -1])


def main():
    parser = measure.arguments(__doc__)
    parser.add_argument("--shape", type=measure.numbers(2), required=True, help="sequences x tokens, as 1x4096")
    parser.add_argument("--attention", choices=ATTENTION, default="sdpa")
    parser.add_argument("--decode", action="store_true", help="time a token after the prompt instead of the prompt")
    args = parser.parse_args()
    batch, tokens = args.shape
    dtype = measure.DTYPES[args.dtype]

    def prepare():
        model = Decoder(args.attention).to(dtype).eval()
        caches = torch.zeros(LAYERS, 2, batch, KV_HEADS, tokens + STEPS, DIM, dtype=dtype)
        prompt = torch.randint(32, VOCABULARY, (batch, tokens))
        if not args.decode:
            return lambda: model(prompt, caches, 0)
        first = model(prompt, caches, 0).argmax(-1, keepdim=True)

        def steps():
            ids = first
            for step in range(STEPS):
                ids = model(ids, caches, tokens + step).argmax(-1, keepdim=True)

        return steps

    what = {"what": "decode" if args.decode else "prefill", "attention": args.attention, "shape": args.shape}
    if args.decode:
        what["tokens_per_run"] = STEPS
    measure.report(args, what, prepare)


if __name__ == "__main__":
    main()
