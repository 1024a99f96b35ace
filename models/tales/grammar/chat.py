"""Chat: requests for stories, stories that keep to them, and what people say next."""

from .records import dump, record_turn
from .story import PLOTS, Story
from .template import HERE, choose, polish, split_choices

_TALK = [
    line.split(" => ")
    for line in (HERE / "talk.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
_SYSTEM = [
    "You tell short stories.",
    "You are Tales, a small model that tells short stories.",
    "You are a friendly storyteller.",
    "You are a helpful assistant.",
    "Tell stories that children can follow.",
    "Answer the user.",
    "You are Tales. Be kind and keep it short.",
]
_LEADS = (
    "[Tell me a story|Tell me a story|Please tell me a story|Can you tell me a story|Could you tell me a tale"
    "|Write a short story|Write a story|Write me a story|I want a story|I would like a story|Make up a story"
    "|Give me a story|Tell me a short tale|Tell a bedtime story|A story|Please write a short tale"
    "|I want to hear a story|Do you know a story]"
)
_AGAIN = "[Another one|Another story|Now one|One more, please,|Tell me another one|And now a story|Again, but]"
_GENERAL_ASKS = [
    ("[What was the {hk}'s name?|What was the {hk} called?|Who was the {hk}?|What was the name of the {hk}?]",
     "[The {hk}'s name was {h}.|The {hk} was called {h}.]", ("h", "hk")),
    ("[What was the name of the hero?|Who was the hero?|Who was the story about?|Who was it about?]",
     "[It was {h} the {hk}.|The hero was {h}, a {ht} {hk}.]", ("h", "hk", "ht")),
    ("[What kind of animal was {h}?|What was {h}?|Who was {h}?]", "{h} was a {ht} {hk}.", ("h", "hk", "ht")),
    ("[Where did {h} live?|Where did the {hk} live?|Where did the story happen?]", "{h} lived {where}.", ("where",)),
    ("[Who was {f}?|What kind of creature was {f}?|What was {f}?]", "{f} was a {fk}.", ("f", "fk")),
    ("[What was the {fk}'s name?|What was the name of the {fk}?|What was the {fk} called?]",
     "The {fk}'s name was {f}.", ("f", "fk")),
    ("[What was {h} like?|Describe {h}.]", "{h} was {ht}.", ("ht",)),
]


def _subjects(story):
    """What a request may say this story is about, as templates."""
    plot = story.plot
    gists = [gist for gist in plot.gists if "{tn}" in gist or "{t}" in gist] + plot.gists
    gist = story.rng.choice(gists)
    subjects = [
        "about a {hk}", "about a {hk}", "about a {ht} {hk}", "about a {hk} called {h}", "about a {ht} {hk} named {h}",
        "about {h} the {hk}", "about a {hk} {where}", "about a {hk} " + gist, "about a {ht} {hk} " + gist,
        "about a {hk} " + gist, "about {theme}", "about a {hk} and {theme}", "set {where}", "",
    ]
    if story.mentions("f", "fk"):
        subjects += ["about a {hk} and a {fk}", "about a {hk} named {h} and a {fk} named {f}", "with a {hk} and a {fk}"]
    if plot.uses:
        subjects += ["about a {hk} and a {t}", "about a {hk} and a {tn}", "about a {tn}", "with a {hk} and a {tn} in it",
                     "about a {ht} {hk} with a {t}", "about a {hk} and a {tn}"]
    if "u" in plot.uses:
        subjects += ["about a {un} and a {tn}"]
    return subjects


def _casual(rng, text):
    """People do not always write capitals and full stops."""
    roll = rng.random()
    if roll < 0.12:
        return text.lower().rstrip(".")
    return text.rstrip(".") if roll < 0.3 else text


def _request(rng, story, lead):
    subject = rng.choice(_subjects(story)).replace("{theme}", rng.choice(story.plot.themes))
    lead = choose(rng, lead)
    question = lead.startswith(("Can", "Could", "Do"))
    text = story.say(f"{lead} {subject}".strip()) + ("?" if question else ".")
    said = story.say(subject)
    return _casual(rng, text), said[:1].lower() + said[1:]


def _story_turn(rng, lead, plots=None):
    story = Story(rng, plots)
    request, subject = _request(rng, story, lead)
    roll = rng.random()
    if roll < 0.1:
        return story, request + choose(rng, "[ Give it a title.| With a title, please.]"), story.titled()
    if roll < 0.22 and subject:
        return story, request, f"Here is a story {subject}.\n\n{story.body}"
    return story, request, story.body


def _ask(rng, story):
    """A question about the story, whose answer the story says."""
    if rng.random() < 0.45:
        question, answer, needs = rng.choice(_GENERAL_ASKS)
        if story.mentions(*needs):
            return story.say(question), story.say(answer)
        return _ask(rng, story)
    question, answer = rng.choice(story.plot.asks)
    slots = [slot for slot in ("t", "spot", "game", "seed", "skill", "fear", "obstacle", "noise", "culprit", "f", "g")
             if "{%s}" % slot in question + answer]
    if story.mentions(*slots):
        return story.say(question), story.say(answer)
    return _ask(rng, story)


def _hero_record(rng, story):
    known = story.facts.known
    request = choose(rng, "[Give me|Write|Show me] [the hero|that hero|the hero of the story] as [JSON|a JSON record].")
    record = {"name": known["h"], "kind": known["hk"], "trait": known["ht"], "home": known["place"]}
    if story.mentions("f", "fk"):
        record["friend"] = known["f"]
    return request, dump(rng, record)


def _follow_up(rng, story):
    roll = rng.random()
    if roll < 0.6:
        return _ask(rng, story)
    if roll < 0.74:
        request = choose(rng, "[Sum it up.|Can you sum it up?|What happened?|Tell it in one sentence.|Make it shorter.]")
        return request, story.say(story.plot.summary)
    if roll < 0.84:
        request = choose(rng, "[Give it a title.|What is the title?|What would you call it?|Find a title for it.]")
        return request, story.title
    if roll < 0.92:
        return _hero_record(rng, story)
    return _talk_turn(rng, 4)


def _talk_turn(rng, row=None):
    question, answer = _TALK[row] if row is not None else rng.choice(_TALK)
    return _casual(rng, choose(rng, rng.choice(split_choices(question)))), choose(rng, answer)


def _turns(rng):
    roll = rng.random()
    if roll < 0.10:
        return [_talk_turn(rng) for _ in range(rng.randint(1, 2))]
    if roll < 0.24:
        return [record_turn(rng) for _ in range(rng.choice([1, 1, 2]))]
    turns = [_talk_turn(rng)] if rng.random() < 0.1 else []
    story, request, answer = _story_turn(rng, _LEADS)
    turns.append((request, answer))
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        turns.append(_follow_up(rng, story))
    if rng.random() < 0.15:
        _, request, answer = _story_turn(rng, _AGAIN)
        turns.append((request, answer))
    return turns


def render(messages):
    """Messages as the chat template writes them."""
    return "".join(f"<|{message['role']}|>{message['content']}<|end|>" for message in messages)


def chat(rng):
    """One chat as a list of messages."""
    messages = []
    if rng.random() < 0.25:
        messages.append({"role": "system", "content": rng.choice(_SYSTEM)})
    for request, answer in _turns(rng):
        messages.append({"role": "user", "content": polish(request) if request[:1].isupper() else request})
        messages.append({"role": "assistant", "content": answer})
    return messages


assert PLOTS, "no plots found beside this module"
