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
def generate_all(model, tokenizer, prompts, temperature, seed, limit=450):
    """The continuation of each prompt, up to and with its end mark if it came to one."""
    torch.manual_seed(seed)
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    how = {"do_sample": False} if temperature == 0 else {"do_sample": True, "temperature": temperature}
    out = model.generate(
        batch.input_ids, attention_mask=batch.attention_mask, max_new_tokens=limit, top_k=0, top_p=1.0, **how
    )
    texts = tokenizer.batch_decode(out[:, batch.input_ids.shape[1] :])
    return [re.match(r"(?s).*?(?:<\|endoftext\|>|<\|end\|>|\Z)", text).group(0) for text in texts]


def generate(model, tokenizer, prompt, temperature, seed):
    return generate_all(model, tokenizer, [prompt], temperature, seed)[0]


def ended(text):
    return text.endswith((END, "<|end|>"))


def chat_prompt(tokenizer, *turns):
    roles = ["user", "assistant"]
    messages = [{"role": roles[at % 2], "content": text} for at, text in enumerate(turns)]
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)


def names_kept(text):
    """Whether the hero that the first sentence names is the one named most."""
    hero = re.search(r"\b(?:named|called|name was) (\w+)|^(\w+) (?:was|the)\b", text)
    names = re.findall(r"(?<=[a-z,] )[A-Z][a-z]{2,}", text)
    if hero is None or not names:
        return False
    return (hero.group(1) or hero.group(2)) == max(sorted(set(names)), key=names.count)


def ending_rate(model, tokenizer, count):
    """Shares of stories at 0.7 that end with the end mark, and that keep to their hero's name; how many differ."""
    texts = generate_all(model, tokenizer, ["Once upon a time"] * count, 0.7, 1)
    kept = sum(names_kept("Once upon a time" + text) for text in texts) / count
    return sum(text.endswith(END) for text in texts) / count, kept, len(set(texts))


def subject_rate(model, tokenizer, count):
    """Shares of chat answers that name the wanted kind, thing, both, that end, and that keep the hero's name."""
    rng = random.Random(7)
    wanted = [(rng.choice(KINDS)[0], rng.choice(list(THINGS))) for _ in range(count)]
    asks = ["Tell me a story about", "Write a short story about", "Can you tell me a tale about"]
    prompts = [chat_prompt(tokenizer, f"{rng.choice(asks)} a {kind} and a {thing}.") for kind, thing in wanted]
    texts = generate_all(model, tokenizer, prompts, 0.7, 1)
    kinds = [re.search(rf"\b{kind}\b", text) is not None for (kind, _), text in zip(wanted, texts)]
    things = [re.search(rf"\b{thing}\b", text) is not None for (_, thing), text in zip(wanted, texts)]
    both = [kind and thing for kind, thing in zip(kinds, things)]
    kept = [names_kept(text) for text in texts]
    shares = [sum(hits) / count for hits in (kinds, things, both, map(ended, texts), kept)]
    return *shares, [want for want, hit in zip(wanted, both) if not hit]


def record_rate(model, tokenizer, count):
    """The share of record requests answered with valid JSON, and with valid JSON of the wanted name and kind."""
    rng = random.Random(8)
    names = ["Pip", "Nora", "Zumbi", "Otto", "Kella"]
    wanted = [(rng.choice(KINDS)[0], rng.choice(names)) for _ in range(count)]
    prompts = [chat_prompt(tokenizer, f"Give me a JSON record of a {kind} named {name}.") for kind, name in wanted]
    valid = good = 0
    for (kind, name), text in zip(wanted, generate_all(model, tokenizer, prompts, 0.7, 1)):
        try:
            record = json.loads(text.split("<|end|>")[0])
        except json.JSONDecodeError:
            continue
        valid += 1
        good += isinstance(record, dict) and record.get("name") == name and record.get("kind") == kind
    return valid / count, good / count


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
            text = generate(model, tokenizer, prompt, temperature, 1)
            print(f"**{label}** at temperature {temperature}:\n")
            print("\n".join(f"> {line}".rstrip() for line in text.split("\n")) + "\n")
    story = generate(model, tokenizer, chat_prompt(tokenizer, first), 0.7, 1)
    turns = [first, story.removesuffix("<|end|>")]
    for question in ("What was the fox's name?", "Sum it up.", "Now one about a shy dragon"):
        text = generate(model, tokenizer, chat_prompt(tokenizer, *turns, question), 0.7, 1)
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
        print("stories: ended, hero kept, distinct:", *ending_rate(model, tokenizer, args.stories), flush=True)
        print("chat: kind, thing, both, ended, hero kept, misses:", *subject_rate(model, tokenizer, args.stories), flush=True)
        print("records: valid, right:", *record_rate(model, tokenizer, args.stories), flush=True)
    print_samples(model, tokenizer)


if __name__ == "__main__":
    main()
