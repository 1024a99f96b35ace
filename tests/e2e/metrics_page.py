"""Reads the page that Prometheus reads, and the table of it in docs/operations.md.

    metrics_page.py HOST:PORT

prints that table as the page has it, for whoever adds a metric.
"""

import collections
import dataclasses
import re
import sys
import urllib.request

SERIES = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
ROW = re.compile(r"^\| `([\w:]+)` \| (counter|gauge|histogram) \| ([^|]*) \| ([^|]*) \|$", re.M)


@dataclasses.dataclass(frozen=True)
class Described:
    """What a family is, beside its numbers."""
    kind: str
    labels: tuple
    help: str


class MetricsPage:
    def __init__(self, text):
        self.text = text
        self.described = {}
        self._values = collections.defaultdict(dict)  # Series' name: labels (a frozenset of pairs): value.
        kinds, helps = {}, {}
        for line in text.splitlines():
            if line.startswith("# HELP "):
                name, helps[name] = line[7:].split(" ", 1)
            elif line.startswith("# TYPE "):
                name, kinds[name] = line[7:].split(" ", 1)
            else:
                name, labels, value = SERIES.match(line).groups()
                self._values[name][frozenset(LABEL.findall(labels or ""))] = float(value)
        for name, kind in kinds.items():
            series = self._values[f"{name}_bucket" if kind == "histogram" else name]
            labels = {label for labels in series for label, _ in labels} - {"le"}
            self.described[name] = Described(kind, tuple(sorted(labels)), helps[name])

    def value(self, series, **labels):
        """Of all series of this name that have these labels, summed."""
        found = [value for have, value in self._values[series].items() if labels.items() <= dict(have).items()]
        assert found, (series, labels)
        return sum(found)

    def by(self, series, label):
        """The sums by a label's values."""
        sums = collections.Counter()
        for have, value in self._values[series].items():
            sums[dict(have)[label]] += value
        return dict(sums)

    def buckets(self, histogram):
        """The upper bounds of a histogram's buckets."""
        return sorted({float(dict(have)["le"]) for have in self._values[f"{histogram}_bucket"]})


def fetch(address, path="/metrics", method="GET"):
    request = urllib.request.Request(f"http://{address}{path}", method=method)
    return urllib.request.urlopen(request, timeout=10)


def read(server):
    return MetricsPage(fetch(server.metrics).read().decode())


def documented(markdown):
    """The metrics of all tables in a text, as MetricsPage.described has them."""
    return {name: Described(kind, tuple(sorted(re.findall(r"`(\w+)`", labels))), meaning.strip())
            for name, kind, labels, meaning in ROW.findall(markdown)}


def main():
    page = MetricsPage(fetch(sys.argv[1]).read().decode())
    for name, family in page.described.items():
        labels = ", ".join(f"`{label}`" for label in family.labels)
        print(f"| `{name}` | {family.kind} | {labels} | {family.help} |")


if __name__ == "__main__":
    main()
