"""Templates: `[a|b]` picks one, `{slot}` is filled from facts or, once per story, from the list of that name.

A slot written `{Slot}` is the same fact with a capital letter. A digit at the end (`{spot2}`) asks for another,
different entry of the same list.
"""

import pathlib
import re

HERE = pathlib.Path(__file__).parent
_CHOICE = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
_VOWEL = re.compile(r"\b([Aa]) (?=[aeiouAEIOU])(?!(?:uni|use|one|eu))")
_START = re.compile(r"(^|\n\n|[.!?] (?:\")?|[.]\" (?:\")?)([a-z])")


def split_choices(line):
    """Splits at bars that stand outside brackets."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(line):
        depth += (char == "[") - (char == "]")
        if char == "|" and depth == 0:
            parts.append(line[start:at])
            start = at + 1
    return parts + [line[start:]]


def read_rows(name):
    """Rows of a table file: fields split at bars, comments and empty lines left out."""
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    return [[field.strip() for field in line.split("|")] for line in lines if line and not line.startswith("#")]


def read_lists(name):
    """The lists of a word file, by name."""
    lists, current = {}, None
    for line in (HERE / name).read_text(encoding="utf-8").splitlines():
        if line.startswith("= "):
            current = lists.setdefault(line[2:].strip(), [])
        elif line and not line.startswith("#"):
            current.extend(split_choices(line))
    return lists


LISTS = read_lists("words.txt")


def choose(rng, template):
    """Resolves every `[a|b]`, innermost first."""
    while True:
        match = _CHOICE.search(template)
        if match is None:
            return template
        pick = rng.choice(match.group(1).split("|"))
        template = template[: match.start()] + pick + template[match.end() :]


def polish(text):
    """Articles before vowels, capitals at sentence starts, single spaces."""
    text = re.sub(r" +", " ", text).replace("\n\n ", "\n\n").replace(" \n", "\n").strip()
    text = _VOWEL.sub(r"\1n ", text)
    return _START.sub(lambda m: m.group(1) + m.group(2).upper(), text)


class Facts:
    """The facts of one story: what is said once stays true to the end."""

    def __init__(self, rng, known):
        self.rng = rng
        self.known = dict(known)

    def expand(self, template):
        """The template with choices made and slots filled; not yet polished."""
        return _SLOT.sub(lambda m: self.value(m.group(1)), choose(self.rng, template))

    def value(self, slot):
        if slot == "H":
            return self.rng.choice([self.known["h"], self.known["h"], "the " + self.known["hk"]])
        if slot in self.known:
            return self.known[slot]
        lower = slot[0].lower() + slot[1:]
        if slot[0].isupper() and slot not in LISTS:
            value = self.value(lower)
            return value[0].upper() + value[1:]
        return self._draw(slot)

    def _draw(self, slot):
        name = slot.rstrip("0123456789")
        name = slot if slot in LISTS else name
        if name.startswith("obstacle"):
            return self._draw_obstacle(slot)
        taken = {value for key, value in self.known.items() if key.rstrip("0123456789") == name}
        for _ in range(8):
            value = self.expand(self.rng.choice(LISTS[name]))
            if value not in taken:
                break
        self.known[slot] = value
        return value

    def _draw_obstacle(self, slot):
        base = slot.removesuffix("_fix")
        taken = set(self.known.values())
        free = [entry for entry in LISTS["obstacle"] if entry.split(" => ")[0] not in taken]
        what, fix = self.rng.choice(free).split(" => ")
        self.known[base], self.known[base + "_fix"] = what, fix
        return self.known[slot]
