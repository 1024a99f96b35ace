"""Cached prefixes: found again, the same answers to the last bit, and never across salts."""

from generation import bits, fold, generate_request

SYSTEM = "You are a storyteller who knows every fox and every river of the land. " * 12
SETTINGS = {"sampling": {"seed": 11, "temperature": 0.9},
            "stopping": {"max_new_tokens": 24, "ignore_eos": True},
            "output": {"top_logprobs": 3}}


def ask(stub, text, salt, **fields):
    request = generate_request(text=text, scheduling={"cache_salt": salt}, **{**SETTINGS, **fields})
    return fold(stub.StreamGenerate(request))


def test_a_shared_beginning_is_found_and_changes_no_bit(stub):
    cold = ask(stub, SYSTEM + "Tell me of the fox.", "first")
    assert cold.started.cached_tokens == 0
    assert cold.started.settings.scheduling.cache_salt == "first"
    other = ask(stub, SYSTEM + "Tell me of the river.", "first")
    assert other.started.cached_tokens > 0.8 * other.started.prompt_tokens
    warm = ask(stub, SYSTEM + "Tell me of the fox.", "first")
    assert warm.finished.usage.cached_tokens >= other.started.cached_tokens
    assert bits(warm) == bits(cold)
    apart = ask(stub, SYSTEM + "Tell me of the fox.", "second")
    assert apart.started.cached_tokens == 0
    assert bits(apart) == bits(cold)


def test_the_next_turn_finds_the_answer_before_it(stub):
    prompt = list(range(40, 60))
    first = fold(stub.StreamGenerate(generate_request(
        tokens={"ids": prompt}, scheduling={"cache_salt": "turns"},
        stopping={"max_new_tokens": 60, "ignore_eos": True})))
    turn = {"tokens": {"ids": prompt + list(first.token_ids) + [41]}, **SETTINGS}
    warm = fold(stub.StreamGenerate(generate_request(scheduling={"cache_salt": "turns"}, **turn)))
    assert warm.started.cached_tokens == 64  # Of 79 computed tokens: four blocks of 16.
    cold = fold(stub.StreamGenerate(generate_request(scheduling={"cache_salt": "new"}, **turn)))
    assert bits(warm) == bits(cold)


def test_prompt_scores_are_complete_however_warm_the_cache(stub):
    scored = {"output": {"prompt_logprobs": True}}
    cold = ask(stub, SYSTEM, "scores", **scored)
    warm = ask(stub, SYSTEM, "scores", **scored)
    assert warm.finished.usage.cached_tokens == 0
    assert [s.logprob for s in warm.prompt_scores] == [s.logprob for s in cold.prompt_scores]
    assert len(warm.prompt_scores) == warm.started.prompt_tokens
