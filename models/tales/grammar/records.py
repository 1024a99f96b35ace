"""Small JSON records, and the words with which they are asked for."""

import json

from .story import KINDS, PLACES, draw_thing, invent_name
from .template import LISTS, choose, polish

_MOODS = ["happy", "sleepy", "calm", "curious", "hungry", "proud", "worried", "merry"]
_COLOURS = ["red", "blue", "green", "yellow", "white", "black", "brown", "grey", "golden", "silver"]
_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
_WEATHER = ["sunny", "rainy", "windy", "cloudy", "snowy", "foggy", "stormy"]


def _name(rng):
    return invent_name(rng, rng.choice(["he", "she"]))


def character(rng):
    """Every field a character record may have."""
    return {
        "name": _name(rng),
        "kind": rng.choice(KINDS)[0],
        "age": rng.randint(1, 99),
        "trait": rng.choice(LISTS["trait"]),
        "mood": rng.choice(_MOODS),
        "colour": rng.choice(_COLOURS),
        "home": rng.choice(PLACES)[1],
        "friend": _name(rng),
        "owns": draw_thing(rng)[0],
        "food": rng.choice(LISTS["food"]),
        "skill": rng.choice(LISTS["skill"]),
        "brave": rng.random() < 0.5,
    }


def _thing(rng):
    full, short, _ = draw_thing(rng)
    look = full.removesuffix(" " + short)
    return {
        "thing": short,
        "look": look,
        "owner": _name(rng),
        "price": rng.randint(1, 60),
        "place": rng.choice(PLACES)[1],
        "lost": rng.random() < 0.5,
    }


def _weather(rng):
    return {
        "day": rng.choice(_DAYS),
        "weather": rng.choice(_WEATHER),
        "degrees": rng.randint(-9, 32),
        "wind": rng.choice(["none", "light", "strong"]),
    }


def _some_fields(rng, record, first):
    rest = [field for field in record if field != first]
    picked = rng.sample(rest, rng.randint(2, min(5, len(rest))))
    fields = [first] + (sorted(picked, key=list(record).index) if rng.random() < 0.6 else picked)
    return {field: record[field] for field in fields}


def dump(rng, value, indented=False):
    """JSON text as the model is to write it."""
    del rng
    return json.dumps(value, indent=2 if indented else None, ensure_ascii=False)


def record_text(rng):
    """A record that stands alone."""
    make, first = rng.choice([(character, "name"), (character, "name"), (_thing, "thing"), (_weather, "day")])
    if rng.random() < 0.15:
        fields = list(_some_fields(rng, make(rng), first))
        return dump(rng, [{f: v for f, v in make(rng).items() if f in fields} for _ in range(rng.randint(2, 4))])
    return dump(rng, _some_fields(rng, make(rng), first), rng.random() < 0.2)


def _listing(fields):
    return ", ".join(fields[:-1]) + " and " + fields[-1]


def record_turn(rng):
    """A request for a record and the record that answers it."""
    record = character(rng)
    ask = choose(rng, "[Give me|Write|Make|Please write|Can you make|Show me|I need] ")
    what = choose(rng, "[a JSON record|a JSON object|JSON|a small JSON record|a character sheet in JSON]")
    kind, name, trait = record["kind"], record["name"], record["trait"]
    form = rng.randrange(7)
    if form == 0:
        fields = list(_some_fields(rng, record, "name"))
        request = f"{ask}{what} with the fields {_listing(fields)}."
        answer = {field: record[field] for field in fields}
    elif form == 1:
        request, answer = f"{ask}{what} for a {kind}.", _some_fields(rng, record, "kind")
    elif form == 2:
        request = f"{ask}{what} of a {kind} named {name}."
        answer = {"name": name, **_some_fields(rng, record, "kind")}
    elif form == 3:
        request = f"{ask}{what} for a {trait} {kind} called {name}."
        answer = {"name": name, "kind": kind, "trait": trait, **_some_fields(rng, record, "age")}
    elif form == 4:
        item = _thing(rng)
        request, answer = f"{ask}{what} for a {item['thing']}.", _some_fields(rng, item, "thing")
    elif form == 5:
        day = _weather(rng)
        request, answer = f"{ask}a JSON record of the weather on {day['day']}.", _some_fields(rng, day, "day")
    else:
        count = rng.randint(2, 4)
        fields = ["name"] + rng.sample(["kind", "age", "mood", "home", "colour"], 2)
        request = f"{ask}{['two', 'three', 'four'][count - 2]} characters as a JSON list with {_listing(fields)}."
        answer = [{field: person[field] for field in fields} for person in (character(rng) for _ in range(count))]
    indented = rng.random() < 0.15
    if indented:
        request = request[:-1] + ", indented."
    return polish(request), dump(rng, answer, indented)
