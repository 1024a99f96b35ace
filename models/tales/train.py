"""Trains Tales from scratch: corpus, tokenizer, model, all from one seed.

    python train.py --out DIR [--steps N] [--minutes M]

With --minutes the learning rate also runs down with the clock, so that training ends in time on any machine; without
it the run is fixed by the seed and the step count alone. Needs torch, tokenizers and safetensors.
"""

import argparse
import math
import os
import pathlib
import random
import time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer

from corpus import END, documents
from grammar.drills import drill
from induction import add_induction_heads
from model import CONFIG, Tales, save_model
from muon import Muon
from tokenizer import save_tokenizer, train_tokenizer

ROW, LONG_ROW, LONG_EVERY = 512, 1024, 6
WARM_UP, HOLD = 0.01, 0.35


def read_corpus(seed, count):
    """The training texts and the held-out texts, each with its end mark."""
    train, held_out = [], []
    for held, text in documents(seed, count):
        (held_out if held else train).append(text + END)
    return train, held_out


def encode(tokenizer, texts):
    return [np.array(line.ids, dtype=np.int16) for line in tokenizer.encode_batch(texts)]


class Rows:
    """Batches of packed documents; every row begins with a document's first token."""

    def __init__(self, encoded, drills, batch_tokens, seed):
        self.encoded, self.drills, self.batch_tokens = encoded, drills, batch_tokens
        self.rng = np.random.default_rng(seed)
        self.order, self.next = [], 0

    def _document(self):
        if self.next == len(self.order):
            self.order, self.next = self.rng.permutation(len(self.encoded)), 0
        self.next += 1
        return self.encoded[self.order[self.next - 1]]

    def _row(self, length, drill_share):
        drills = len(self.drills) > 0 and self.rng.random() < drill_share
        parts, size = [], 0
        while size <= length:
            parts.append(self.drills[self.rng.integers(len(self.drills))] if drills else self._document())
            size += len(parts[-1])
        return np.concatenate(parts)[: length + 1]

    def batch(self, step, drill_share):
        """Tokens and targets, [rows, length]; now and then fewer, longer rows."""
        length = LONG_ROW if step % LONG_EVERY == LONG_EVERY - 1 else ROW
        rows = np.stack([self._row(length, drill_share) for _ in range(self.batch_tokens // length)])
        rows = torch.from_numpy(rows.astype(np.int64))
        return rows[:, :-1].contiguous(), rows[:, 1:].contiguous()


def rate(progress):
    """Warm up, hold, then fall in a line to zero."""
    if progress < WARM_UP:
        return progress / WARM_UP
    return min(1.0, (1.0 - progress) / (1.0 - HOLD))


def drill_share(progress, peak):
    """Rows of drills: many at first, few at the end."""
    return peak * min(1.0, max(0.05, (0.7 - progress) / 0.35))


def make_optimizers(model, args):
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    embedding = [p for name, p in model.named_parameters() if "embed" in name]
    norms = [p for p in model.parameters() if p.ndim == 1]
    adam = torch.optim.AdamW(
        [{"params": embedding, "lr": 3 * args.adam_rate}, {"params": norms}],
        lr=args.adam_rate, betas=(0.9, 0.95), weight_decay=0.0)
    optimizers = [Muon(matrices, lr=args.muon_rate), adam]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers


@torch.no_grad()
def held_out_loss(model, encoded, tokens=40_000):
    """Mean loss per token in nats over the first held-out documents, each on its own."""
    total, count = 0.0, 0
    for ids in encoded:
        ids = torch.from_numpy(ids.astype(np.int64))[None, : LONG_ROW + 1]
        total += model(ids[:, :-1], ids[:, 1:]).item() * (ids.shape[1] - 1)
        count += ids.shape[1] - 1
        if count >= tokens:
            break
    return total / count


def train(model, rows, held_out, args):
    optimizers = make_optimizers(model, args)
    run = torch.compile(model, dynamic=False) if args.compile else model
    start, loss_sum, loss_count = time.monotonic(), 0.0, 0
    for step in range(args.steps + 1):
        elapsed = time.monotonic() - start
        progress = step / args.steps
        if args.minutes:
            progress = max(progress, elapsed / 60 / args.minutes)
        if step % 250 == 0 or progress >= 1:
            save_model(model, args.out)
            print(f"step {step} held-out {held_out_loss(model, held_out):.4f}", flush=True)
        if progress >= 1:
            return step
        tokens, targets = rows.batch(step, drill_share(progress, args.drill_share))
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            loss = run(tokens, targets)
        loss.backward()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["peak"] * rate(progress)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        loss_sum, loss_count = loss_sum + loss.item(), loss_count + 1
        if step % 20 == 0:
            seconds = time.monotonic() - start
            speed = (step + 1) * args.batch_tokens / seconds
            mean = loss_sum / loss_count
            print(f"step {step} loss {mean:.4f} {speed:.0f} tokens/s {seconds:.0f} s {progress:.3f}", flush=True)
            loss_sum, loss_count = 0.0, 0
        if math.isnan(loss.item()):
            raise SystemExit("loss is not a number")
    return args.steps


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--resume", type=pathlib.Path, help="go on from this folder's weights and tokenizer")
    parser.add_argument("--tokenizer", type=pathlib.Path, help="take this folder's tokenizer instead of training one")
    parser.add_argument("--order-seed", type=int, help="the order of documents, and which come first (default: --seed)")
    parser.add_argument("--documents", type=int, default=24_000)
    parser.add_argument("--drills", type=int, default=12_000, help="drill documents, chats that are mostly copying")
    parser.add_argument("--drill-share", type=float, default=0.4, help="share of rows that are drills, at first")
    parser.add_argument("--steps", type=int, default=1_390)
    parser.add_argument("--minutes", type=float, default=0, help="also end by the clock (0: by steps alone)")
    parser.add_argument("--batch-tokens", type=int, default=2_048)
    parser.add_argument("--muon-rate", type=float, default=0.012)
    parser.add_argument("--adam-rate", type=float, default=3e-3, help="of the norms; the embedding's is three times it")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="use torch.compile (needs a C++ compiler)")
    parser.add_argument("--bf16", action="store_true", help="autocast to bf16 (where the processor has it)")
    return parser.parse_args()


def main():
    args = parse()
    args.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    train_texts, held_texts = read_corpus(args.seed, args.documents)
    if args.resume or args.tokenizer:
        tokenizer = Tokenizer.from_file(str((args.resume or args.tokenizer) / "tokenizer.json"))
    else:
        tokenizer = train_tokenizer(train_texts[:8_000], CONFIG["vocab_size"])
    save_tokenizer(tokenizer, args.out, CONFIG["max_position_embeddings"])
    encoded, held_out = encode(tokenizer, train_texts), encode(tokenizer, held_texts)
    total = sum(map(len, encoded))
    print(f"{len(encoded)} documents, {total} tokens, {total / len(encoded):.0f} each", flush=True)
    del train_texts
    model = Tales()
    if args.resume:
        model.load_state_dict(load_file(args.resume / "model.safetensors"))
    else:
        sample = [token for ids in encoded[:40] for token in ids.tolist()][: 8 * 256]
        add_induction_heads(model, torch.tensor(sample).view(8, 256), args.seed)
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)
    order_seed = args.seed if args.order_seed is None else args.order_seed
    drill_texts = [drill(random.Random(f"drill:{args.seed}:{index}")) + END for index in range(args.drills)]
    rows = Rows(encoded, encode(tokenizer, drill_texts), args.batch_tokens, order_seed)
    steps = train(model, rows, held_out, args)
    save_model(model, args.out)
    print(f"done after {steps} steps, {steps * args.batch_tokens} tokens", flush=True)


if __name__ == "__main__":
    main()
