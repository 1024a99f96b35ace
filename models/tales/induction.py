"""Gives a model two hand-made attention heads that copy, before or between stretches of training.

Looking back for a name takes a small model very many steps to find by itself. Here one key-value group of layer 0 becomes a
head that attends to the previous token, and one of layer 1 a head that attends to what followed the same token before and
raises that token's logit (an induction circuit: Olsson et al., 2022). One dimension of the embedding is made constant, which the
head does not see, so that the first head has something to attend by. Training takes it from there.
"""

import torch

from model import CONFIG

CONSTANT = 0  # The reserved dimension.
GROUP = 1  # The key-value group that is replaced, in layers 0 and 1.
FAST, SLOW = range(0, 10), range(18, 32)  # Rotary pairs that tell neighbours apart; that hardly turn.
GAP = 10.0  # Logits between the previous token and the next best.
MATCH = 12.0  # Logits of a token that was met before.


def _layers(model):
    return [layer for layer in model.model["layers"]]


def _reserve_constant(model):
    embedding = model.model["embed_tokens"].weight
    embedding[:, CONSTANT] = 0
    embedding[:, CONSTANT] = 4 * embedding.pow(2).mean(1).sqrt()  # Normed, the same for every token.
    model.model["norm"].weight[CONSTANT] = 0
    for layer in _layers(model):
        for name in ("q_proj", "k_proj", "v_proj"):
            getattr(layer.self_attn, name).weight[:, CONSTANT] = 0
        layer.mlp.gate_proj.weight[:, CONSTANT] = 0
        layer.mlp.up_proj.weight[:, CONSTANT] = 0
        layer.self_attn.o_proj.weight[CONSTANT] = 0
        layer.mlp.down_proj.weight[CONSTANT] = 0


def _clear_group(layer):
    size = CONFIG["head_dim"]
    per_group = CONFIG["num_attention_heads"] // CONFIG["num_key_value_heads"]
    keys = slice(GROUP * size, (GROUP + 1) * size)
    queries = slice(GROUP * per_group * size, (GROUP + 1) * per_group * size)
    attention = layer.self_attn
    attention.k_proj.weight[keys] = 0
    attention.v_proj.weight[keys] = 0
    attention.q_proj.weight[queries] = 0
    attention.o_proj.weight[:, queries] = 0
    return (attention.q_proj.weight[queries][:size], attention.k_proj.weight[keys], attention.v_proj.weight[keys],
            attention.o_proj.weight[:, queries][:, :size])


def _orthonormal(rows, columns, generator):
    return torch.linalg.qr(torch.randn(columns, rows, generator=generator))[0].T


@torch.no_grad()
def add_induction_heads(model, tokens, seed=1):
    """`tokens` [rows, length]: some text, on which the heads' scales are set."""
    generator = torch.Generator().manual_seed(seed)
    hidden, size, half = CONFIG["hidden_size"], CONFIG["head_dim"], CONFIG["head_dim"] // 2
    _reserve_constant(model)
    first, second = _layers(model)[:2]
    embedded = model.model["embed_tokens"](tokens)
    normed = first.input_layernorm(embedded)
    slow = [*SLOW, *(half + i for i in SLOW)]
    basis = _orthonormal(2 * len(slow), hidden - 1, generator)
    basis = torch.cat([torch.zeros(len(basis), 1), basis], dim=1)  # Nothing of the constant.
    reader, writer = basis[: len(slow)], basis[len(slow) :].T

    # Layer 0: to the previous token. Rotated, the score at distance d is a sum of cos((d - 1) theta).
    q, k, v, o = _clear_group(first)
    for weight in (first.self_attn.o_proj.weight, first.mlp.down_proj.weight):
        weight -= basis.T @ (basis @ weight)  # Leaves the token's own mark and the previous one's clean.
    frequency = CONFIG["rope_theta"] ** -(torch.arange(0, size, 2).float() / size)
    constant = normed[..., CONSTANT].mean()
    spread = sum(1 - torch.cos(frequency[i]) for i in FAST)
    scale = (GAP * size**0.5 / spread).sqrt() / constant
    for i in FAST:
        k[i, CONSTANT] = scale
        q[i, CONSTANT] = scale * torch.cos(frequency[i])
        q[half + i, CONSTANT] = -scale * torch.sin(frequency[i])
    v[: len(slow)] = reader
    before = first(embedded, model.cos, model.sin)
    background = (before @ writer).pow(2).mean().sqrt()
    written = (normed @ reader.T).pow(2).mean().sqrt()
    o[:, : len(slow)] = 2.5 * background / written * writer

    # Layer 1: to what followed the same token before, and out with it.
    q, k, v, o = _clear_group(second)
    x = second.input_layernorm(first(embedded, model.cos, model.sin))
    same = (x[:, :-1] @ reader.T * (x[:, 1:] @ writer)).sum(-1).mean()  # A query against its own token's key.
    scale = (MATCH * size**0.5 / same).sqrt()
    q[slow] = scale * reader
    k[slow] = scale * writer.T
    copy = _orthonormal(size, hidden, generator)
    copy[:, CONSTANT] = 0
    v[:] = copy
    stream = first(embedded, model.cos, model.sin).pow(2).mean().sqrt()
    o[:] = 4.0 * stream / (x @ copy.T @ copy).pow(2).mean().sqrt() * copy.T
    print(f"induction heads: constant {constant:.2f}, match {same:.2f}, scale {scale:.2f}", flush=True)
