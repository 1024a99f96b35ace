"""The tables of `./dev bench peers`: the figures, and ratios beside what is to be reached."""

# Hocket's ratio to the best OpenVINO setting with weights of as many bits, by shape, case, weights.
RATIOS_TO_REACH = {
    ("smollm2-135m", "decode-1", "int8"): 1.8, ("smollm2-135m", "decode-1", "int4"): 1.6,
    ("smollm2-135m", "decode-8", "int8"): 1.4, ("smollm2-135m", "decode-8", "int4"): 1.2,
    ("smollm2-135m", "decode-32", "int8"): 1.4, ("smollm2-135m", "decode-32", "int4"): 1.2,
    ("smollm2-135m", "prefill", "int8"): 1.3,
    ("llama-3.2-1b", "decode-1", "int8"): 1.7, ("llama-3.2-1b", "decode-1", "int4"): 1.7,
    ("llama-3.2-1b", "decode-8", "int8"): 1.3, ("llama-3.2-1b", "decode-8", "int4"): 1.3,
    ("llama-3.2-1b", "decode-32", "int8"): 1.4, ("llama-3.2-1b", "decode-32", "int4"): 1.4,
    ("llama-3.2-1b", "prefill", "int8"): 1.1,
}
MEMORY_TO_REACH_MIB = {("llama-3.2-1b", "int8"): 1600, ("llama-3.2-1b", "int4"): 1100}
NEIGHBOUR_TO_REACH = 0.7

CASE_TITLES = {
    "decode-1": "1 request, tokens/s", "decode-8": "8 requests, tokens/s",
    "decode-32": "32 requests, tokens/s", "prefill": "prefill of 2,048, tokens/s",
    "memory": "peak memory at 8 requests, MiB", "quiet": "8 requests beside the next, tokens/s",
    "neighbour": "8 requests, one core taken, tokens/s",
}


def collect(records):
    """Best figure by (shape, case, engine): the most tokens per second, the least memory."""
    best = {}
    for record in records:
        if record["kind"] != "measurement":
            continue
        key = record["shape"], record["case"], record["engine"]
        if record["case"] == "memory":
            best[key] = min(best.get(key, float("inf")), record["peak_memory_mib"])
        else:
            best[key] = max(best.get(key, 0.0), record["tokens_per_second"])
    return best


def in_order(values):
    return list(dict.fromkeys(values))


def row(cells):
    return "| " + " | ".join(cells) + " |\n"


def figure_table(best):
    names = in_order(engine for _, _, engine in best)
    text = row(["", *names]) + "|---" * (len(names) + 1) + "|\n"
    for shape in in_order(shape for shape, _, _ in best):
        for case, title in CASE_TITLES.items():
            cells = [best.get((shape, case, name)) for name in names]
            if any(cells):
                text += row([f"{shape}, {title}",
                             *("–" if cell is None else f"{cell:,.0f}" if cell >= 100 else
                               f"{cell:.1f}" for cell in cells)])
    return text


def verdict(reached):
    return "yes" if reached else "**no**"


def ratio_row(best, shape, case, engine):
    """Ours against the best of the peer's settings; None where nothing is to be compared."""
    weights = engine.partition(":")[2]
    bits = "int4" if weights.startswith("int4") else "int8"
    peers = {name: figure for (its_shape, its_case, name), figure in best.items()
             if (its_shape, its_case) == (shape, case) and name.startswith(f"openvino:{bits}")}
    if not peers:
        return None
    peer, ours = max(peers, key=peers.get), best[shape, case, engine]
    ratio, wanted = ours / peers[peer], RATIOS_TO_REACH.get((shape, case, weights))
    return [f"{shape}, {CASE_TITLES[case]}", engine, f"{ours:,.1f}", f"{peers[peer]:,.1f} ({peer})",
            f"{ratio:.2f}×", f"{wanted}×" if wanted else "–",
            verdict(ratio >= wanted) if wanted else "–"]


def memory_row(best, shape, engine):
    limit, ours = (MEMORY_TO_REACH_MIB.get((shape, engine.partition(":")[2])),
                   best[shape, "memory", engine])
    if limit is None:
        return None
    return [f"{shape}, {CASE_TITLES['memory']}", engine, f"{ours:,.0f}", "–", "–",
            f"under {limit:,}", verdict(ours < limit)]


def neighbour_row(best, shape, engine):
    quiet, busy = best.get((shape, "quiet", engine)), best[shape, "neighbour", engine]
    if not quiet:
        return None
    return [f"{shape}, {CASE_TITLES['neighbour']}", engine, f"{busy:,.1f}",
            f"{quiet:,.1f} (itself, quiet)", f"{busy / quiet:.2f}×", f"{NEIGHBOUR_TO_REACH}×",
            verdict(busy / quiet >= NEIGHBOUR_TO_REACH) if engine.startswith("hocket") else "–"]


def ratio_table(best):
    rows = []
    for shape, case, engine in best:
        if case == "neighbour":
            rows.append(neighbour_row(best, shape, engine))
        elif case == "quiet" or not engine.startswith("hocket"):
            continue
        elif case == "memory":
            rows.append(memory_row(best, shape, engine))
        else:
            rows.append(ratio_row(best, shape, case, engine))
    rows = [cells for cells in rows if cells]
    if not rows:
        return ""
    return (row(["", "engine", "figure", "against", "ratio", "to reach", "reached"]) +
            "|---" * 7 + "|\n" + "".join(row(cells) for cells in rows))


def disturbance(records):
    """How much of the machine others had, at worst, apart from the neighbour that is meant."""
    measured = [record for record in records
                if record["kind"] == "measurement" and record["case"] != "neighbour"]
    if not measured:
        return ""
    others, stolen = (max(record[field] for record in measured)
                      for field in ("other_cores", "stolen_cores"))
    return (f"Meanwhile other processes had at most {others:.2f} cores, "
            f"and the host withheld at most {stolen:.2f}.\n")


def render(records):
    best = collect(records)
    return "\n".join(part for part in ("\n" + figure_table(best), ratio_table(best),
                                       disturbance(records)) if part)
