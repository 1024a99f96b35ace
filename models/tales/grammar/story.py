"""Stories: a plot, a cast and the facts that hold them together."""

import dataclasses

from .template import HERE, LISTS, Facts, polish, read_rows

_FORMS = {"he": ("he", "him", "his", "himself"), "she": ("she", "her", "her", "herself")}
_PLURALS = {
    "fox": "foxes", "mouse": "mice", "wolf": "wolves", "deer": "deer", "pony": "ponies", "fairy": "fairies",
    "princess": "princesses", "witch": "witches", "elf": "elves", "snowman": "snowmen",
}
KINDS = [(kind, pronoun, fly == "f") for kind, pronoun, fly in read_rows("kinds.txt")]
THINGS = {name: (look, use) for name, look, use in read_rows("things.txt")}
PLACES = read_rows("places.txt")


@dataclasses.dataclass
class Plot:
    """One plot file: what a request may call it, what may be asked of it, and its beats in order."""

    name: str
    themes: list
    gists: list
    titles: list
    summary: str
    asks: list
    uses: list
    grounded: bool
    beats: list


def _read_plot(path):
    head, _, body = path.read_text(encoding="utf-8").partition("\n---\n")
    fields = {}
    for line in head.splitlines():
        key, _, value = line.partition(": ")
        fields.setdefault(key, []).append(value)
    beats = [block.splitlines() for block in body.strip().split("\n\n")]
    return Plot(
        name=path.stem,
        themes=fields["theme"],
        gists=fields["gist"],
        titles=fields["title"],
        summary=fields["sum"][0],
        asks=[tuple(ask.split(" => ")) for ask in fields["ask"]],
        uses=fields.get("uses", [""])[0].split(),
        grounded="not" in fields,
        beats=beats,
    )


PLOTS = [_read_plot(path) for path in sorted((HERE / "plots").glob("*.txt"))]


def invent_name(rng, pronoun):
    """A name from the list, or three times in ten one that nobody has heard before."""
    if rng.random() < 0.7:
        return rng.choice(LISTS[f"name_{pronoun}"])
    return rng.choice(LISTS["syllable_a"]) + rng.choice(LISTS["syllable_b"]) + rng.choice(LISTS["syllable_c"])


def draw_thing(rng, other=""):
    """A thing with a look, as `(full, short, use)`."""
    name = rng.choice([thing for thing in THINGS if thing != other])
    look, use = THINGS[name]
    return f"{rng.choice(LISTS[look])} {name}", name, use


def _person(prefix, kind, pronoun, name):
    forms = _FORMS[pronoun]
    keys = ("he", "him", "his", "himself") if prefix == "h" else (f"{prefix}e", f"{prefix}m", f"{prefix}s", "")
    facts = {prefix: name, f"{prefix}k": kind}
    facts.update({key: form for key, form in zip(keys, forms) if key})
    return facts


def _cast(rng, plot):
    """Hero, friend and elder. The friend's pronoun differs from the hero's, so no sentence is in doubt."""
    heroes = [kind for kind in KINDS if not (plot.grounded and kind[2])]
    kind, pronoun, _ = rng.choice(heroes)
    pronoun = rng.choice(["he", "she"]) if pronoun == "any" else pronoun
    other = "she" if pronoun == "he" else "he"
    friends = [friend for friend in KINDS if friend[0] != kind and friend[1] in ("any", other)]
    friends = [friend for friend in friends if not (plot.grounded and friend[2])]
    facts = _person("h", kind, pronoun, invent_name(rng, pronoun))
    friend_kind = rng.choice(friends)[0]
    facts.update(_person("f", friend_kind, other, invent_name(rng, other)))
    elder = rng.choice([k for k in LISTS["flier" if plot.grounded else "elder"] if k not in (kind, friend_kind)])
    elder_pronoun = {"woman": "she", "man": "he"}.get(elder, other)
    facts.update(_person("g", elder, elder_pronoun, invent_name(rng, elder_pronoun)))
    if len({facts["h"], facts["f"], facts["g"]}) < 3:
        return _cast(rng, plot)
    facts["xk"] = rng.choice([k[0] for k in KINDS if k[0] not in (kind, friend_kind, elder)])
    facts["hks"] = _PLURALS.get(kind, kind + "s")
    facts["HKs"] = facts["hks"].capitalize()
    facts["HK"] = kind.title()
    facts["ht"] = rng.choice(LISTS["trait"])
    return facts


def _title_case(value):
    return " ".join(word if word in ("of", "the", "on", "in", "at") else word.capitalize() for word in value.split())


class Story:
    """One story with the facts that answer questions about it."""

    def __init__(self, rng, plots=None):
        self.rng = rng
        self.plot = rng.choice(plots or PLOTS)
        facts = _cast(rng, self.plot)
        facts["t"], facts["tn"], facts["tuse"] = draw_thing(rng)
        facts["u"], facts["un"], _ = draw_thing(rng, facts["tn"])
        facts["where"], facts["place"] = rng.choice(PLACES)
        facts["job_his"] = rng.choice(["his", "her"])
        self.facts = Facts(rng, facts)
        self.body = self._tell()
        self.title = self._make_title()

    def _tell(self):
        paragraphs = [[self.facts.expand("{open}")]]
        for beat in self.plot.beats:
            if beat == ["//"]:
                paragraphs.append([])
                continue
            line = self.rng.choice(beat)
            if line.startswith("%"):
                line = line[1:] if self.rng.random() < 0.4 else ""
            if line:
                paragraphs[-1].append(self.facts.expand(line))
        return polish("\n\n".join(" ".join(lines) for lines in paragraphs))

    def _make_title(self):
        titled = dict(self.facts.known)
        for key in ("t", "tn", "u"):
            titled[key.upper()] = _title_case(titled["un" if key == "u" else "tn"])
        for key in ("skill", "seed", "farplace"):
            if key in titled:
                titled[key.capitalize()] = _title_case(titled[key])
        return polish(Facts(self.rng, titled).expand(self.rng.choice(self.plot.titles)))

    def say(self, template):
        """A polished sentence in terms of this story's facts."""
        return polish(self.facts.expand(template))

    def mentions(self, *slots):
        """Whether the story says all these facts aloud."""
        low = self.body.lower()
        return all(self.facts.known.get(slot, "\0").lower() in low for slot in slots)

    def titled(self):
        return f"{self.title}\n\n{self.body}"
