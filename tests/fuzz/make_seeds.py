"""Writes the hand-made inputs of the fuzz targets into corpus folders: what the fuzzer starts from.

    make_seeds.py [--out tests/fuzz/corpus] [--python build/python]

Needed only for a corpus from nothing, or after the form of a target's input has changed; see the NAME_fuzz.cc for what
the bytes mean. Files are named seed-*, so that what fuzzing has found beside them is kept.
"""

import argparse
import json
import pathlib
import struct
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXTS = ROOT / "tests/runtime/text/fixtures"
MODELS = ROOT / "tests/fixtures/models"

SCHEMAS = [
    '{"type":"object","properties":{"a":{"type":"integer","minimum":0,"maximum":12}},"required":["a"],"additionalProperties":false}',
    '{"type":"array","items":{"$ref":"#/$defs/n"},"minItems":1,"maxItems":3,"$defs":{"n":{"type":"number","multipleOf":0.5}}}',
    '{"enum":["red",1,null,{"a":[true]}]}', '{"type":"string","pattern":"^[a-f]{2,4}$"}', '{"type":"string","format":"date"}',
    '{"anyOf":[{"const":1},{"type":"string","minLength":2,"maxLength":4}]}', '{"$ref":"#"}', "true", "false", '{"type":"frog"}',
    '{"type":"object","additionalProperties":{"$ref":"#"}}', '{"allOf":[{"type":"integer"},{"minimum":3}]}', "[" * 300,
    '{"type":"array","prefixItems":[{"type":"boolean"}],"items":false}', '{"oneOf":[{"type":"integer"},{"type":"number"}]}',
    '{"type":"string","maxLength":100000}', '{"type":"array","minItems":100000}', '{"not":{}}', "NaN", "{",
]
REGEXES = ["[a-z]+", "(yes|no)", r"\d{1,3}(\.\d+)?", "a*", "(?i)once", "(a{100}){100}", "(a|b){0,5000}", "(" * 500 + ")" * 500, "(.*a){20}",
           "[^\\x00-\\x{10FFFF}]", "a{99999}", "(?=a)b", "\\", "(?P<x>é|😀)", "", "x*y?[[:alpha:]]", "((((a*)*)*)*)*"]
CHOICES = ['["yes","no"]', '["a","ab","abc"]', '["é","\\u0000","\\n"]', "[]", '[""]', '["a"', json.dumps([str(i) for i in range(200)])]
LARKS = ['start: "a" | "b"', 'start: a+\na: /[0-9]/', 'start: "(" start ")" | "x"', "start: start start | \"a\"", "start: %json {\"type\":\"integer\"}",
         "start: /a+/ WS\nWS: /[ \\n]/\n%ignore WS", "start: " + "(" * 500 + '"a"' + ")" * 500, "start: x", "%%", 'start: "a"{1,1000}',
         'start[capture]: "a"\n', "start: <end 1>", 'start: "a"~3..5 | gen\ngen[max_tokens=3]: /.*/']
TEMPLATES = [
    "{% for m in messages %}{{ m.role }}: {{ m['content'] | trim }}\n{% endfor %}", "{{ bos_token }}{{ raise_exception('no') }}",
    "{% if add_generation_prompt %}A{% else %}B{% endif %}", "{% macro f(x) %}{{ f(x) }}{% endmacro %}{{ f(1) }}",
    "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}", "{% set ns = namespace(x='a') %}{{ ns.x * 3 }}",
    "{{ messages | tojson(indent=2) }}{{ strftime_now('%Y-%m-%d %H') }}", "{% generation %}x{% endgeneration %}", "{{ 'x' ~ messages[0].content.strip().split('l') }}",
    "{%- for m in messages if loop.first or not loop.last -%}{{ loop.index }}{%- break -%}{% endfor %}", "{{ ((((1))))", "{% set a = [1,2,3] %}{{ a[::-1] }}{{ a[5] }}",
    "{{ messages | map(attribute='role') | join(',') | upper | replace('U','v') }}", "{{ 1 // 0 }}{{ 2 ** 3 }}{{ -7 % 3 }}",
]
STOPS = [b"\x10\x03abc\x07xxabcyy", b"\x21\x02\x00\x01\x03\x00\x01\x00\x05" + bytes(range(40)), b"\x03\x01\x00\x09\x00\x01\x00", b"\xf2" + b"\x02ab" * 15 + b"\x03abababab",
         b"\x11\x08\x00\x00\x00\x00\x00\x00\x00\x01\x02" + b"\x00" * 40 + b"\x01", b"\x10\x06\xf0\x9f\x98\x80\xf0\x9f\x01a\xf0\x9f\x98\x80\xf0\x9f"]
NUMBERS = ["512MiB", "4 GiB", "1000000", "1.5k", "9.1e18", "9223372036854775807", "-1", ".5tb", "1..2", " 12 bytes ", "127.0.0.1:50051", "[::]:50051", ":0", "localhost:65536",
           "a:b:1", "[::1", "1,2,3", "[1, 2\n3]", "[1", "0.3,0.7", "1e309", "nan", ",", "2147483648", "+5:+5", "[]:1", "1_000"]
KEY = '"name":"a","tenant":"t","scopes":["generate"]'
KEYS = ['{"keys":[]}', '{"keys":[{%s,"sha256":"1747c4000376ab4dbf2ec22d6862f422731f1993db70b81af66e25c0de30872c"}]}' % KEY, '{"keys":[{%s,"certificate_san":"spiffe://example.org/a","weight":2,'
        '"limits":{"max_requests":3},"expires":"2030-12-31T23:59:59Z","default_priority":"batch","max_new_tokens":9}]}' % KEY, '{"keys":[{%s}]}' % KEY, '{"keys":[{%s,%s,"sha256":"00"}]}' % (KEY, KEY),
        '{"keys":7}', '{"keys":[],"more":1}', '{"keys":[{%s,"sha256":%s%s}]}' % (KEY, "[" * 9000, "]" * 9000), '{"keys":[{%s,"weight":1e999}]}' % KEY, '{"keys":[{"name":"\\u0000"}]}']
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACES = [TRACE, TRACE + "-", "01" + TRACE[2:] + "-x", "ff" + TRACE[2:], TRACE.upper(), TRACE[:-1], "00-" + "0" * 32 + TRACE[35:], TRACE[:36] + "0" * 16 + "-00", "01" + TRACE[2:] + "x", ""]
UTF8 = [b"plain", "é€😀".encode(), b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82", b"a\xffb", b"\xf0\x80\x80\x80", "日本語 の テキスト".encode(),
        b"\xef\xbf\xbd", "a\u0301 b\u200b\n\nc".encode(), b"\xf8\x88\x80\x80\x80", b"x" * 60, b"  a  b " * 9]
REQUESTS = {
    0: ("ScoreRequest", ['text: "Once upon a time" top_logprobs: 3', "tokens { ids: [1, 2, 420] } token_pieces: true", 'text: "a" add_special_tokens: false model: "other"', ""]),
    1: ("EmbedRequest", ['text: "sing" pooling: POOLING_LAST_TOKEN normalize: false', "tokens { ids: [0] }", 'text: "" request_id: "x"']),
    2: ("TokenizeRequest", ['text: "voices sing" token_pieces: true', 'chat { messages { role: "user" content: "Hi" } }', 'chat { messages { role: "nobody" content: "é" } messages { role: "assistant" } }']),
    3: ("DetokenizeRequest", ["token_ids: [5, 6, 300, 2]", "token_ids: [420, 1] special_tokens_in_text: true", "token_ids: [421]"]),
    4: ("GenerateRequest", [
        'text: "Once" stopping { max_new_tokens: 5 stop_strings: "end" stop_tokens: 7 time_limit { seconds: 3 nanos: 5 } repetition_detection {} } sampling { seed: 7 temperature: 0.5 top_k: 4 }',
        'tokens { ids: [1, 2, 3] } sampling { dry { multiplier: 1 sequence_breakers: "x" } xtc { probability: 0.2 } logit_bias { key: 3 value: -2 } bad_words: "bad" banned_tokens: 9 seed: 1 }',
        'chat { messages { role: "user" content: "Hello" } } output { logprobs: true top_logprobs: 5 prompt_logprobs: true logprobs_stage: LOGPROBS_STAGE_AFTER_FILTERING token_pieces: true }',
        'text: "x" beam_search { width: 4 length_penalty: 0.5 early_stopping: EARLY_STOPPING_ALWAYS } choices { n: 2 } stopping { max_new_tokens: 8 }',
        'text: "x" choices { n: 3 best_of: 5 } scheduling { priority: PRIORITY_CLASS_BATCH cache_salt: "s" } speculation { prompt_lookup: true max_draft_tokens: 4 }',
        'text: "x" context { policy: CONTEXT_POLICY_ROLL kept_tokens: 4 truncate_prompt_tokens: 9 } stopping { max_new_tokens: 1000 }',
        'text: "x" context { policy: CONTEXT_POLICY_STOP } stopping { min_new_tokens: 2 max_new_tokens: 400 include_stop_string: true ignore_eos: true stop_at_sentence_end: true }',
        'text: "x" constraint { regex: "[a-z]{2,5}" } sampling { seed: 3 }', "text: \"x\" constraint { json_schema: '{\"type\":\"integer\"}' }", 'text: "x" constraint { any_json {} }',
        'text: "x" constraint { choice { choices: ["yes", "no"] } }', "text: \"x\" constraint { lark: 'start: \"a\"+' }", 'text: "x" constraint {}',
        'text: "x" resume { generated_tokens: [4, 5] } sampling { seed: 1 } stopping { max_new_tokens: 9 }', 'text: "x" adapter: "a"', 'sampling { allowed_tokens: [3, 4] } tokens { ids: 3 }',
    ]),
}


def safetensors(header, data):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def shards():
    one = safetensors({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(8))
    index = json.dumps({"weight_map": {"x": "a", "y": "b"}}).encode()
    two = safetensors({"y": {"dtype": "BF16", "shape": [1, 2], "data_offsets": [0, 4]}}, bytes(4))
    return b"\x01" + struct.pack("<H", len(index)) + index + struct.pack("<H", len(one)) + one + two


def files():
    """Files by target: a lone one has a byte in front that says so."""
    first = {"a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "b": {"dtype": "BF16", "shape": [5], "data_offsets": [24, 34]}}
    more = {"__metadata__": {"format": "pt"}, "h": {"dtype": "F16", "shape": [], "data_offsets": [1, 3]}, "e": {"dtype": "I64", "shape": [0, 9], "data_offsets": [3, 3]}}
    lone = [safetensors(first, bytes(range(34))), safetensors(more, bytes(3)), safetensors({}, b""), safetensors(first, bytes(20)),
            safetensors({"a": {"dtype": "F32", "shape": [1 << 50, 1 << 50], "data_offsets": [0, 0]}}, b""), struct.pack("<Q", 1 << 63) + b"{}", b"short", b""]
    yield "safetensors", [b"\x00" + file for file in lone] + [shards()]
    configs = [path.read_bytes() for path in sorted(MODELS.glob("*/config.json")) + [ROOT / "models/tales/config.json", ROOT / "models/tales/generation_config.json"]]
    llama3 = json.loads(configs[0]) | {"rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}}
    mistral = {k: v for k, v in json.loads(configs[0]).items() if k != "sliding_window"} | {"architectures": ["MistralForCausalLM"], "rope_parameters": {"rope_type": "linear", "factor": 2}}
    configs += [json.dumps(config).encode() for config in (llama3, mistral)]
    generation = [b'{"temperature":0.6,"top_p":0.9,"top_k":-1,"eos_token_id":[1,2,1],"do_sample":true}', b'{"eos_token_id":-1}', b'{"top_k":1e300}', b'{"eos_token_id":600}', b"[]",
                  b'{"num_hidden_layers":' + b"[" * 20000 + b"]" * 20000 + b"}"]
    yield "model_config", [b"\x00" + c for c in configs] + [b"\x01" + c for c in configs[-3:] + generation]
    tokenizers = [(TEXTS / name / "tokenizer.json").read_bytes() for name in ("byte_level", "byte_fallback")]
    models = ['{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":["a b"]}', '{"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["a",-1],["▁",-2]]}',
              '{"type":"WordLevel","vocab":{"a":0},"unk_token":"a"}', '{"type":"WordPiece","vocab":{"a":0,"##b":1},"unk_token":"a","continuing_subword_prefix":"##","max_input_chars_per_word":9}']
    tokenizers += [f'{{"version":"1.0","added_tokens":[],"normalizer":{{"type":"NFKC"}},"pre_tokenizer":{{"type":"Whitespace"}},"post_processor":null,"decoder":null,"model":{m}}}'.encode() for m in models]
    yield "tokenizer", [bytes([flag]) + text for text in tokenizers for flag in (2, 0x43)] + [b"\x00{}", b"\x00null"]
    templates = [path.read_bytes() for path in sorted(TEXTS.glob("chat/*/chat_template.jinja"))] + [text.encode() for text in TEMPLATES]
    in_config = [path.read_bytes() for path in sorted(TEXTS.glob("chat/*/tokenizer_config.json")) + [ROOT / "models/tales/tokenizer_config.json"]]
    in_config += [b'{"chat_template":[{"name":"default","template":"{{ eos_token }}"}],"eos_token":{"content":"</s>"}}', b'{"chat_template":7}']
    yield "chat_template", [bytes([i % 3 + 4]) + text for i, text in enumerate(templates)] + [b"\x1d" + text for text in in_config]


def texts():
    for name, values in (("stop_matcher", STOPS), ("utf8", [b"\x05" + text for text in UTF8]), ("flags", [text.encode() for text in NUMBERS]),
                         ("api_keys", [text.encode() for text in KEYS]), ("trace_context", [text.encode() for text in TRACES])):
        yield name, values
    kinds = ((0, SCHEMAS), (1, REGEXES), (2, CHOICES), (3, LARKS))
    yield "constraint", [bytes([kind | 4 * (i % 2)]) + b"\x03\x51\x00\xff\x10\x20\x07\x01" + text.encode() for kind, values in kinds for i, text in enumerate(values)]
    yield "sentence_end", [bytes([seed]) + bytes((i * seed * 7 + i // 3) % 48 for i in range(60)) for seed in range(1, 9)]
    yield "detokenizer", [bytes([flags]) + bytes((i * 37 + flags * i * i) % 256 if i % 2 == 0 else i // 20 % 2 for i in range(180)) for flags in (0x20, 0x21, 0x02, 0x43, 0x99, 0xf8)]
    yield "weight_cache", [b"\x01\x10" + bytes(range(16)), b"\x00\x04abcd\x00\x08\x01", b"\x00\x04abcd\x01\x38", b"\x03\x00HOCKETW\n", b"\x01\xff" + bytes(255) + b"\x03\x10\x00\x20", b"\x00\x02ab\x08\x00\x10\x01\x0a\xff\x00\x02xy"]


def requests(python):
    sys.path.insert(0, str(python))
    from google.protobuf import text_format
    from hocket.v1 import generation_pb2, hocket_pb2

    seeds = []
    for kind, (name, values) in REQUESTS.items():
        message = getattr(hocket_pb2, name, None) or getattr(generation_pb2, name)
        seeds += [bytes([kind]) + text_format.Parse(value, message()).SerializeToString() for value in values]
    yield "request", seeds + [b"\x04\xff\xff", b"\x84" + seeds[-8][1:]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "tests/fuzz/corpus")
    parser.add_argument("--python", type=pathlib.Path, default=ROOT / "build/python")
    arguments = parser.parse_args()
    for source in (files(), texts(), requests(arguments.python)):
        for name, seeds in source:
            folder = arguments.out / name
            folder.mkdir(parents=True, exist_ok=True)
            for number, seed in enumerate(seeds):
                (folder / f"seed-{number:02}").write_bytes(seed)


if __name__ == "__main__":
    main()
