"""Writes the Tales corpus: seeded, so that the same seed and count give the same bytes.

    python corpus.py --out /tmp/tales-corpus [--documents 120000] [--seed 1]

Writes train.txt and held_out.txt; each document ends with <|endoftext|>. Every twentieth document is held out.
"""

import argparse
import pathlib
import random

from grammar.chat import chat, render
from grammar.records import record_text
from grammar.story import Story

END = "<|endoftext|>"
HELD_OUT_EVERY = 20


def document(seed, index):
    """Document `index`: a story, a chat or a record, without its end mark."""
    rng = random.Random(f"tales:{seed}:{index}")
    roll = rng.random()
    if roll < 0.42:
        story = Story(rng)
        return story.titled() if rng.random() < 0.15 else story.body
    if roll < 0.94:
        return render(chat(rng))
    return record_text(rng)


def documents(seed, count):
    """The first `count` documents as `(held_out, text)`."""
    for index in range(count):
        yield index % HELD_OUT_EVERY == 0, document(seed, index)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--documents", type=int, default=120_000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    train = (args.out / "train.txt").open("w", encoding="utf-8")
    held_out = (args.out / "held_out.txt").open("w", encoding="utf-8")
    with train, held_out:
        for held, text in documents(args.seed, args.documents):
            (held_out if held else train).write(text + END + "\n")


if __name__ == "__main__":
    main()
