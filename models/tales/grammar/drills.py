"""Drills: short chats that are mostly copying. A small model learns to look back for a name, a kind or a thing far sooner from
these than from whole stories, where few words depend on the request. Used while training, with a share that runs down."""

import re

from .chat import _request, render
from .records import dump, record_turn
from .story import KINDS, Story, draw_thing, invent_name
from .template import LISTS, choose, polish

_OPENINGS = "[Begin a story|Start a story|Write the first lines of a story|Open a story|How could a story begin]"


def _name(rng):
    return invent_name(rng, rng.choice(["he", "she"]))


def _opening(rng):
    """A request as for a whole story, answered with its first sentences."""
    story = Story(rng)
    request, _ = _request(rng, story, _OPENINGS)
    sentences = re.split(r"(?<=[.!?]) ", story.body.split("\n\n")[0])
    return [(request, " ".join(sentences[: rng.randint(1, 2)]))]


def _repeat(rng):
    """Words to say again, as they stand."""
    draw = (lambda: _name(rng), lambda: rng.choice(KINDS)[0], lambda: draw_thing(rng)[1], lambda: rng.choice(LISTS["trait"]))
    words = [rng.choice(draw)() for _ in range(rng.randint(3, 10))]
    text = ", ".join(words)
    return [(choose(rng, "[Say|Repeat|Write|Copy]: ") + text + ".", text + ".")]


def _people(rng):
    """Two to four characters, and questions about each."""
    people = [(_name(rng), rng.choice(LISTS["trait"]), rng.choice(KINDS)[0], draw_thing(rng)[1])
              for _ in range(rng.randint(2, 4))]
    told = " ".join(f"{name} is a {trait} {kind} with a {thing}." for name, trait, kind, thing in people)
    turns = []
    for name, trait, kind, thing in rng.sample(people, len(people)):
        question, answer = rng.choice([
            (f"Who is {name}?", f"{name} is a {trait} {kind}."),
            (f"What does {name} have?", f"{name} has a {thing}."),
            (f"Who has the {thing}?", f"{name} the {kind} has the {thing}."),
            (f"Who is {trait}?", f"{name} the {kind} is {trait}."),
        ])
        turns.append((question, polish(answer)))
    turns[0] = (polish(told + " " + turns[0][0]), turns[0][1])
    if rng.random() < 0.4:
        listed = [{"name": n, "kind": k, "trait": t, "owns": o} for n, t, k, o in people]
        turns.append(("Give me all of them as JSON.", dump(rng, listed)))
    return turns


def drill(rng):
    """One drill as a document, without its end mark."""
    turns = rng.choice([_opening, _opening, _opening, _repeat, _people, _people, lambda r: [record_turn(r)]])(rng)
    return render([{"role": role, "content": text} for turn in turns for role, text in zip(("user", "assistant"), turn)])
