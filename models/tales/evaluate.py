"""Measures a trained Tales folder with transformers: held-out loss, samples, and how often it does as it is asked.

    python evaluate.py [--model DIR] [--documents 400] [--stories 50]

Prints Markdown, which the model card quotes.
"""

import argparse
import json
import pathlib
import random
import re

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from corpus import END, documents
from grammar.story import KINDS, THINGS

HERE = pathlib.Path(__file__).parent


def load(folder, dtype):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


@torch.no_grad()
def mean_loss(model, tokenizer, texts):
    """Nats per token over the texts, each on its own, the first token of each not counted."""
    total, tokens, size = 0.0, 0, 0
    for text in texts:
        ids = tokenizer(text, return_tensors="pt").input_ids[:, :1024]
        logits = model(ids).logits[0, :-1].float()
        total += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
        tokens += ids.shape[1] - 1
        size += len(text.encode())
    return total / tokens, tokens, total / size / 0.6931471805599453


def held_out(seed, count, documents_seen):
    texts = [text + END for held, text in documents(seed, documents_seen) if held]
    return texts[:count]


@torch.no_grad()
def generate(model, tokenizer, prompt, temperature, seed, limit=450):
    """The continuation's text and whether it ended by itself."""
    torch.manual_seed(seed)
    ids = tokenizer(prompt, return_tensors="pt").input_ids
    how = {"do_sample": False} if temperature == 0 else {"do_sample": True, "temperature": temperature}
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=limit, top_k=0, top_p=1.0, use_cache=True, **how
    )
    new = out[0, ids.shape[1] :]
    ended = new[-1].item() in model.generation_config.eos_token_id
    return tokenizer.decode(new), ended


def chat_prompt(tokenizer, *turns):
    roles = ["user", "assistant"]
    messages = [{"role": roles[at % 2], "content": text} for at, text in enumerate(turns)]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def ending_rate(model, tokenizer, count):
    """The share of stories that end by themselves with the end mark at temperature 0.7."""
    texts = [generate(model, tokenizer, "Once upon a time", 0.7, seed) for seed in range(count)]
    return sum(text.endswith(END) for text, _ in texts) / count, len({text for text, _ in texts})


def subject_rate(model, tokenizer, count):
    """The shares of chat answers that name the wanted kind, the wanted thing, both, and that end."""
    rng = random.Random(7)
    kinds = things = both = ends = 0
    misses = []
    for seed in range(count):
        kind, thing = rng.choice(KINDS)[0], rng.choice(list(THINGS))
        ask = rng.choice(["Tell me a story about", "Write a short story about", "Can you tell me a tale about"])
        text, ended = generate(model, tokenizer, chat_prompt(tokenizer, f"{ask} a {kind} and a {thing}."), 0.7, seed)
        has_kind, has_thing = (re.search(rf"\b{word}\b", text) is not None for word in (kind, thing))
        kinds, things = kinds + has_kind, things + has_thing
        both, ends = both + (has_kind and has_thing), ends + ended
        if not (has_kind and has_thing):
            misses.append(f"{kind}/{thing}")
    return kinds / count, things / count, both / count, ends / count, misses


def record_rate(model, tokenizer, count):
    """The share of record requests answered with valid JSON that has the wanted name."""
    rng, good = random.Random(8), 0
    for seed in range(count):
        kind, name = rng.choice(KINDS)[0], rng.choice(["Pip", "Nora", "Zumbi", "Otto", "Kella"])
        prompt = chat_prompt(tokenizer, f"Give me a JSON record of a {kind} named {name}.")
        text, _ = generate(model, tokenizer, prompt, 0.7, seed)
        try:
            record = json.loads(text.split("<|end|>")[0])
            good += record.get("name") == name and record.get("kind") == kind
        except (json.JSONDecodeError, AttributeError):
            pass
    return good / count


def print_samples(model, tokenizer):
    first = "Tell me a story about a brave fox who lost a lantern."
    prompts = [
        ("Once upon a time", "Once upon a time"),
        (first, chat_prompt(tokenizer, first)),
        ("Give me a JSON record of an owl named Zibby.",
         chat_prompt(tokenizer, "Give me a JSON record of an owl named Zibby.")),
    ]
    for label, prompt in prompts:
        for temperature in (0, 0.7, 1.2):
            text, _ = generate(model, tokenizer, prompt, temperature, 1)
            print(f"**{label}** at temperature {temperature}:\n")
            print("\n".join(f"> {line}".rstrip() for line in text.split("\n")) + "\n")
    story, _ = generate(model, tokenizer, chat_prompt(tokenizer, first), 0.7, 1)
    turns = [first, story.removesuffix("<|end|>")]
    for question in ("What was the fox's name?", "Sum it up.", "Now one about a shy dragon"):
        text, _ = generate(model, tokenizer, chat_prompt(tokenizer, *turns, question), 0.7, 1)
        print(f"**{question}** (after the story at 0.7)\n\n> " + text.replace("\n", "\n> ") + "\n")
        turns += [question, text.removesuffix("<|end|>")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=pathlib.Path, default=HERE)
    parser.add_argument("--seed", type=int, default=1, help="the corpus's seed")
    parser.add_argument("--corpus", type=int, default=50_000, help="documents of the whole corpus")
    parser.add_argument("--documents", type=int, default=400, help="held-out documents to score")
    parser.add_argument("--stories", type=int, default=50)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    texts = held_out(args.seed, args.documents, min(args.corpus, args.documents * 20))
    for name, dtype in (("f32", torch.float32), ("bf16", torch.bfloat16)):
        loss, tokens, bits = mean_loss(load(args.model, dtype), tokenizer, texts)
        perplexity = torch.tensor(loss).exp().item()
        print(f"| {name} | {tokens} | {loss:.4f} | {perplexity:.3f} | {bits:.4f} |", flush=True)
    model = load(args.model, torch.float32)
    if args.stories:
        print("stories that end by themselves, distinct stories:", *ending_rate(model, tokenizer, args.stories), flush=True)
        print("chat kind, thing, both, ended, misses:", *subject_rate(model, tokenizer, args.stories), flush=True)
        print("records:", record_rate(model, tokenizer, args.stories), flush=True)
    print_samples(model, tokenizer)


if __name__ == "__main__":
    main()
