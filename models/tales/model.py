"""A compact Llama decoder for training; its parameters carry the names of transformers' LlamaForCausalLM."""

import json
import pathlib

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 3072,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "hidden_act": "silu",
    "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "rope_scaling": None,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "mlp_bias": False,
    "tie_word_embeddings": True,
    "initializer_range": 0.02,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 0,
    "use_cache": True,
    "torch_dtype": "bfloat16",
}
GENERATION = {"eos_token_id": [0, 4], "pad_token_id": 0, "do_sample": True, "temperature": 0.7, "top_p": 0.95}


class RmsNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return F.rms_norm(x, x.shape[-1:], self.weight.to(x.dtype), CONFIG["rms_norm_eps"])


def rotary(context):
    """Cosines and sines, [context, head_dim], with the two halves alike as Llama has them."""
    size = CONFIG["head_dim"]
    inverse = CONFIG["rope_theta"] ** -(torch.arange(0, size, 2).float() / size)
    angle = torch.arange(context).float()[:, None] * torch.cat([inverse, inverse])[None]
    return angle.cos(), angle.sin()


def rotate(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        hidden, size = CONFIG["hidden_size"], CONFIG["head_dim"]
        self.heads, self.kv_heads, self.size = CONFIG["num_attention_heads"], CONFIG["num_key_value_heads"], size
        self.q_proj = nn.Linear(hidden, self.heads * size, bias=False)
        self.k_proj = nn.Linear(hidden, self.kv_heads * size, bias=False)
        self.v_proj = nn.Linear(hidden, self.kv_heads * size, bias=False)
        self.o_proj = nn.Linear(self.heads * size, hidden, bias=False)

    def forward(self, x, cos, sin):
        rows, length, _ = x.shape
        q = self.q_proj(x).view(rows, length, self.heads, self.size).transpose(1, 2)
        k = self.k_proj(x).view(rows, length, self.kv_heads, self.size).transpose(1, 2)
        v = self.v_proj(x).view(rows, length, self.kv_heads, self.size).transpose(1, 2)
        cos, sin = cos[:length].to(q.dtype), sin[:length].to(q.dtype)
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        repeat = self.heads // self.kv_heads
        k, v = k.repeat_interleave(repeat, dim=1), v.repeat_interleave(repeat, dim=1)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.o_proj(out.transpose(1, 2).reshape(rows, length, -1))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        hidden, inner = CONFIG["hidden_size"], CONFIG["intermediate_size"]
        self.gate_proj = nn.Linear(hidden, inner, bias=False)
        self.up_proj = nn.Linear(hidden, inner, bias=False)
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm = RmsNorm(CONFIG["hidden_size"])
        self.self_attn = Attention()
        self.post_attention_layernorm = RmsNorm(CONFIG["hidden_size"])
        self.mlp = Mlp()

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Tales(nn.Module):
    """Tokens [rows, length] and targets [rows, length] to the mean loss in nats."""

    def __init__(self):
        super().__init__()
        self.model = nn.ModuleDict(
            {
                "embed_tokens": nn.Embedding(CONFIG["vocab_size"], CONFIG["hidden_size"]),
                "layers": nn.ModuleList(Layer() for _ in range(CONFIG["num_hidden_layers"])),
                "norm": RmsNorm(CONFIG["hidden_size"]),
            }
        )
        cos, sin = rotary(CONFIG["max_position_embeddings"])
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                scale = (2 * CONFIG["num_hidden_layers"]) ** -0.5 if name.endswith(("o_proj.weight", "down_proj.weight")) else 1
                nn.init.normal_(parameter, std=0.25 if "embed" in name else parameter.shape[1] ** -0.5 * scale)
        # The embedding is loud, so that a token's own mark survives the layers and can be copied; the head must not be.
        nn.init.constant_(self.model["norm"].weight, 1 / 16)

    def forward(self, tokens, targets):
        x = self.model["embed_tokens"](tokens)
        for layer in self.model["layers"]:
            x = layer(x, self.cos, self.sin)
        logits = F.linear(self.model["norm"](x), self.model["embed_tokens"].weight)
        return F.cross_entropy(logits.float().view(-1, logits.shape[-1]), targets.reshape(-1))


def save_model(model, folder):
    """Writes config.json, generation_config.json and model.safetensors in bf16; the head is tied, so not stored."""
    folder = pathlib.Path(folder)
    weights = {name: value.detach().to(torch.bfloat16).contiguous() for name, value in model.state_dict().items()}
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
    (folder / "generation_config.json").write_text(json.dumps(GENERATION, indent=2) + "\n", encoding="utf-8")
