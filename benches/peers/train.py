"""Training steps of a small Llama over 6-mers: forward, cross-entropy of every next token, backward, clipping, AdamW.

The sizes are those of a recipe of `kilobase pretrain`; the embedding is the output matrix. Tokens are random: they cost as much as
others.
"""

import torch
from torch import nn

import measure

VOCABULARY, THETA = 4128, 10000.0


class Layer(nn.Module):
    def __init__(self, hidden, heads, kv_heads, inner):
        super().__init__()
        self.heads, self.kv_heads, self.dim = heads, kv_heads, hidden // heads
        self.norm1 = nn.RMSNorm(hidden, eps=1e-5)
        self.qkv = nn.Linear(hidden, (heads + 2 * kv_heads) * self.dim, bias=False)
        self.out = nn.Linear(hidden, hidden, bias=False)
        self.norm2 = nn.RMSNorm(hidden, eps=1e-5)
        self.gated = nn.Linear(hidden, 2 * inner, bias=False)
        self.down = nn.Linear(inner, hidden, bias=False)

    def forward(self, x, turn):
        qkv = self.qkv(self.norm1(x)).unflatten(-1, (-1, self.dim)).transpose(1, 2)  # [B, H, S, D]
        q, k, v = qkv.split([self.heads, self.kv_heads, self.kv_heads], 1)
        mixed = nn.functional.scaled_dot_product_attention(turn(q), turn(k), v, is_causal=True, enable_gqa=True)
        x = x + self.out(mixed.transpose(1, 2).flatten(2))
        gate, value = self.gated(self.norm2(x)).chunk(2, -1)
        return x + self.down(nn.functional.silu(gate) * value)


class Decoder(nn.Module):
    def __init__(self, hidden, layers, heads, kv_heads, inner):
        super().__init__()
        self.dim = hidden // heads
        self.words = nn.Embedding(VOCABULARY, hidden)
        self.layers = nn.ModuleList(Layer(hidden, heads, kv_heads, inner) for _ in range(layers))
        self.norm = nn.RMSNorm(hidden, eps=1e-5)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids):
        frequencies = THETA ** (-torch.arange(0, self.dim, 2) / self.dim)
        angles = torch.arange(ids.shape[1])[:, None] * frequencies
        cos, sin = angles.cos(), angles.sin()

        def turn(x):
            a, b = x.chunk(2, -1)
            return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)

        x = self.words(ids)
        for layer in self.layers:
            x = layer(x, turn)
        return self.norm(x) @ self.words.weight.T


def main():
    parser = measure.arguments(__doc__)
    parser.add_argument("--shape", type=measure.numbers(2), required=True, help="sequences x tokens, as 8x257")
    parser.add_argument(
        "--model",
        type=measure.numbers(5),
        default=[192, 6, 6, 2, 512],
        help="hidden x layers x heads x key/value heads x inner",
    )
    args = parser.parse_args()
    batch, tokens = args.shape

    def prepare():
        model = Decoder(*args.model)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)

        # `report` turns gradients off.
        @torch.inference_mode(False)
        @torch.enable_grad()
        def step():
            ids = torch.randint(32, VOCABULARY, (batch, tokens))
            # In bf16 weights and sums stay f32, as ours do.
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.dtype == "bf16"):
                logits = model(ids)[:, :-1]
                loss = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

        return step

    with torch.inference_mode(False):
        measure.report(args, {"what": "train", "model": args.model, "shape": args.shape}, torch.inference_mode(False)(prepare))


if __name__ == "__main__":
    main()
