"""A BERT encoder (Devlin et al. 2018), with the published names of its parts."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True)
class Sizes:
    vocab: int
    labels: int
    hidden: int = 96
    layers: int = 3
    heads: int = 3
    inner: int = 240
    positions: int = 288
    types: int = 2
    eps: float = 1e-12


# Tokens up to which plain products are faster than the fused operation, on a CPU.
SHORT = 64


def attend(q, k, v, mask):
    if q.shape[2] > SHORT:
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return (q @ k.transpose(2, 3) * q.shape[3] ** -0.5 + mask).softmax(-1) @ v


class Layer(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        width = sizes.hidden
        self.heads = sizes.heads
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.mix, self.mix_norm = nn.Linear(width, width), nn.LayerNorm(width, sizes.eps)
        self.inner, self.outer = nn.Linear(width, sizes.inner), nn.Linear(sizes.inner, width)
        self.outer_norm = nn.LayerNorm(width, sizes.eps)

    def forward(self, x, mask):
        batch, length, width = x.shape

        def split(y):
            return y.view(batch, length, self.heads, -1).transpose(1, 2)

        seen = attend(split(self.query(x)), split(self.key(x)), split(self.value(x)), mask)
        x = self.mix_norm(x + self.mix(seen.transpose(1, 2).reshape(batch, length, width)))
        return self.outer_norm(x + self.outer(F.gelu(self.inner(x))))


class Encoder(nn.Module):
    """The encoder, a label for each token, and words from the word table itself (no transform between)."""

    def __init__(self, sizes):
        super().__init__()
        self.sizes = sizes
        self.words = nn.Embedding(sizes.vocab, sizes.hidden)
        self.positions = nn.Embedding(sizes.positions, sizes.hidden)
        self.types = nn.Embedding(sizes.types, sizes.hidden)
        self.norm = nn.LayerNorm(sizes.hidden, sizes.eps)
        self.layers = nn.ModuleList(Layer(sizes) for _ in range(sizes.layers))
        self.classifier = nn.Linear(sizes.hidden, sizes.labels)
        self.word_bias = nn.Parameter(torch.zeros(sizes.vocab))
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, std=0.04)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, ids, mask):
        """Hidden states. `mask`, `batch x 1 x (1 or length) x length`, is added to the scores: -inf where nobody may look."""
        x = self.words(ids) + self.positions.weight[: ids.shape[1]] + self.types.weight[0]
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, mask)
        return x

    def word_logits(self, hidden):
        return F.linear(hidden, self.words.weight, self.word_bias)


def published(model):
    """The tensors under the names of BertForTokenClassification in the transformers library."""
    tensors = {
        "bert.embeddings.word_embeddings.weight": model.words.weight,
        "bert.embeddings.position_embeddings.weight": model.positions.weight,
        "bert.embeddings.token_type_embeddings.weight": model.types.weight,
        "bert.embeddings.LayerNorm.weight": model.norm.weight,
        "bert.embeddings.LayerNorm.bias": model.norm.bias,
        "classifier.weight": model.classifier.weight,
        "classifier.bias": model.classifier.bias,
    }
    names = {
        "query": "attention.self.query",
        "key": "attention.self.key",
        "value": "attention.self.value",
        "mix": "attention.output.dense",
        "mix_norm": "attention.output.LayerNorm",
        "inner": "intermediate.dense",
        "outer": "output.dense",
        "outer_norm": "output.LayerNorm",
    }
    for at, layer in enumerate(model.layers):
        for ours, name in names.items():
            module = getattr(layer, ours)
            tensors[f"bert.encoder.layer.{at}.{name}.weight"] = module.weight
            tensors[f"bert.encoder.layer.{at}.{name}.bias"] = module.bias
    return tensors
