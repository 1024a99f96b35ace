#!/usr/bin/env python3
"""Writes a random-weight model of a real shape, for measuring speed where no weights can be had.

    make_model.py --shape smollm2-135m DIR

DIR becomes a Hugging Face folder: config.json, generation_config.json, model.safetensors (bf16,
normal weights of standard deviation 0.02, seeded) and a tokenizer: the default model's own, padded
to the shape's vocabulary with entries that no text encodes to.
"""

import argparse
import json
import pathlib
import sys

import numpy as np

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
CHUNK = 1 << 22  # Values drawn at a time.

SHAPES = {
    "smollm2-135m": {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
        "num_attention_heads": 9, "num_key_value_heads": 3, "vocab_size": 49152,
        "max_position_embeddings": 8192, "rope_theta": 100000.0, "rms_norm_eps": 1e-5,
    },
    "qwen2.5-0.5b": {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
        "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
        "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936,
        "max_position_embeddings": 32768, "rope_theta": 1000000.0, "rms_norm_eps": 1e-6,
        "use_sliding_window": False,
    },
    "llama-3.2-1b": {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama",
        "hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16,
        "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "vocab_size": 128256,
        "max_position_embeddings": 131072, "rope_theta": 500000.0, "rms_norm_eps": 1e-5,
        "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 8192},
    },
}


def tensor_shapes(config):
    """Name and shape of every tensor, in the order in which they are written."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    head_dim = config.get("head_dim", hidden // config["num_attention_heads"])
    queries = config["num_attention_heads"] * head_dim
    keys = config["num_key_value_heads"] * head_dim
    shapes = {"model.embed_tokens.weight": [config["vocab_size"], hidden]}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        shapes[prefix + "input_layernorm.weight"] = [hidden]
        for name, rows in (("q", queries), ("k", keys), ("v", keys)):
            shapes[prefix + f"self_attn.{name}_proj.weight"] = [rows, hidden]
            if config["model_type"] == "qwen2":
                shapes[prefix + f"self_attn.{name}_proj.bias"] = [rows]
        shapes[prefix + "self_attn.o_proj.weight"] = [hidden, queries]
        shapes[prefix + "post_attention_layernorm.weight"] = [hidden]
        shapes[prefix + "mlp.gate_proj.weight"] = [inner, hidden]
        shapes[prefix + "mlp.up_proj.weight"] = [inner, hidden]
        shapes[prefix + "mlp.down_proj.weight"] = [hidden, inner]
    shapes["model.norm.weight"] = [hidden]
    return shapes


def to_bf16(values):
    """float32 to bf16 bits, rounding to nearest even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def write_weights(path, config, seed):
    shapes = tensor_shapes(config)
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, shape in shapes.items():
        size = 2 * int(np.prod(shape))
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    random = np.random.default_rng(seed)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in shapes.items():
            count = int(np.prod(shape))
            for start in range(0, count, CHUNK):
                length = min(CHUNK, count - start)
                if name.endswith("norm.weight"):
                    values = np.ones(length, np.float32)
                else:
                    values = random.standard_normal(length, np.float32) * np.float32(0.02)
                file.write(to_bf16(values).tobytes())


def write_tokenizer(folder, source, vocabulary):
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    vocab = tokenizer["model"]["vocab"]
    used = set(vocab.values()) | {token["id"] for token in tokenizer["added_tokens"]}
    for token in range(vocabulary):
        if token not in used:
            vocab[f"<unused-{token}>"] = token
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    (folder / "tokenizer_config.json").write_text((source / "tokenizer_config.json").read_text())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--layers", type=int, help="instead of the shape's own number of layers")
    parser.add_argument("--tokenizer", type=pathlib.Path, default=REPOSITORY / "models" / "tales",
                        help="folder whose tokenizer is padded (default: models/tales)")
    parser.add_argument("folder", type=pathlib.Path, metavar="DIR")
    arguments = parser.parse_args()
    if not (arguments.tokenizer / "tokenizer.json").exists():
        sys.exit(f"make_model: no tokenizer.json in {arguments.tokenizer}: give --tokenizer DIR")
    config = dict(SHAPES[arguments.shape])
    config["num_hidden_layers"] = arguments.layers or config["num_hidden_layers"]
    config.update(hidden_act="silu", tie_word_embeddings=True, torch_dtype="bfloat16",
                  bos_token_id=0, eos_token_id=0)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    (arguments.folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (arguments.folder / "generation_config.json").write_text('{"eos_token_id": 0}\n')
    write_tokenizer(arguments.folder, arguments.tokenizer, config["vocab_size"])
    write_weights(arguments.folder / "model.safetensors", config, arguments.seed)
    size = (arguments.folder / "model.safetensors").stat().st_size
    print(f"{arguments.folder}: {arguments.shape}, {size / 2**20:.0f} MiB of bf16 weights")


if __name__ == "__main__":
    main()
