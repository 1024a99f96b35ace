use super::*;

/// Every byte is a token of GPT-2's spelling; 0 is the end of the text.
fn byte_tokenizer() -> Tokenizer {
    let printable = |byte: u32| matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    let mut moved = 0x100..;
    let mut vocab = serde_json::Map::new();
    vocab.insert("<end>".into(), json!(0));
    for byte in 0..256u32 {
        let code = if printable(byte) { byte } else { moved.next().unwrap() };
        vocab.insert(char::from_u32(code).unwrap().to_string(), json!(byte + 1));
    }
    let file = json!({
        "version": "1.0",
        "added_tokens": [{"id": 0, "content": "<end>", "special": true, "single_word": false,
                          "lstrip": false, "rstrip": false, "normalized": false}],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        "model": {"type": "BPE", "vocab": vocab, "merges": []}
    });
    Tokenizer::from_json(file.to_string().as_bytes()).unwrap()
}

fn vocabulary() -> GrammarVocabulary {
    GrammarVocabulary::new(&byte_tokenizer(), &[0], 257).unwrap()
}

fn allows(constraint: &mut Constraint, byte: Option<u8>) -> bool {
    let mut words = [0u32; 9];
    constraint.mask(&mut words).unwrap();
    let token = byte.map_or(0, |byte| usize::from(byte) + 1);
    words[token / 32] >> (token % 32) & 1 == 1
}

/// Whether `text` keeps to the constraint up to its end, and what may follow then.
fn matches(kind: i32, grammar: &str, text: &str) -> bool {
    let mut constraint = vocabulary().compile(kind, grammar).unwrap();
    let mut complete = false;
    for byte in text.bytes() {
        if complete || !allows(&mut constraint, Some(byte)) {
            return false;
        }
        complete = constraint.accept(i32::from(byte) + 1).unwrap();
    }
    complete || allows(&mut constraint, None)
}

fn error(kind: i32, grammar: &str) -> String {
    vocabulary().compile(kind, grammar).err().unwrap().message
}

#[test]
fn a_schema_takes_what_it_describes_and_no_spaces() {
    let schema = r#"{"type": "object", "properties": {"a": {"type": "integer"}},
                     "required": ["a"], "additionalProperties": false}"#;
    assert!(matches(JSON_SCHEMA, schema, r#"{"a":12}"#));
    assert!(!matches(JSON_SCHEMA, schema, r#"{ "a":12}"#));
    assert!(!matches(JSON_SCHEMA, schema, r#"{"a":"x"}"#));
    assert!(!matches(JSON_SCHEMA, schema, r#"{"a":1"#));
    assert!(matches(JSON_SCHEMA, "true", "[1,{}]"));
}

#[test]
fn a_schema_may_say_how_it_spaces() {
    let schema = r#"{"type": "array", "x-guidance": {"whitespace_flexible": true}}"#;
    assert!(matches(JSON_SCHEMA, schema, "[1, 2]"));
}

#[test]
fn regular_expressions_match_the_whole_text() {
    assert!(matches(REGEX, "[ab]+c?", "abba"));
    assert!(matches(REGEX, "[ab]+c?", "abc"));
    assert!(!matches(REGEX, "[ab]+c?", "cab"));
}

#[test]
fn choices_may_be_thousands_and_begin_alike() {
    let names: Vec<String> = (0..4096).map(|i| format!("product-{i}")).collect();
    let choices = serde_json::to_string(&names).unwrap();
    for text in ["product-0", "product-40", "product-409", "product-4095"] {
        assert!(matches(CHOICES, &choices, text), "{text}");
    }
    for text in ["product-", "product-4096", "product-40950", "product"] {
        assert!(!matches(CHOICES, &choices, text), "{text}");
    }
}

#[test]
fn choices_are_texts_whatever_they_hold() {
    let choices = r#"["yes", "no", "say \"é\"\n"]"#;
    assert!(matches(CHOICES, choices, "yes"));
    assert!(matches(CHOICES, choices, "say \"é\"\n"));
    assert!(!matches(CHOICES, choices, "ye"));
    assert!(!matches(CHOICES, choices, "maybe"));
}

#[test]
fn lark_grammars_work() {
    let lark = "start: NAME (\",\" NAME)*\nNAME: /[a-z]+/";
    assert!(matches(LARK, lark, "a,bc"));
    assert!(!matches(LARK, lark, "a,"));
}

#[test]
fn a_complete_text_says_so_at_once() {
    let mut constraint = vocabulary().compile(CHOICES, r#"["ab"]"#).unwrap();
    assert!(!constraint.accept(i32::from(b'a') + 1).unwrap());
    assert!(constraint.accept(i32::from(b'b') + 1).unwrap());
}

#[test]
fn copies_go_their_own_ways() {
    let mut one = vocabulary().compile(CHOICES, r#"["ax", "bx"]"#).unwrap();
    let mut two = one.duplicate();
    one.accept(i32::from(b'a') + 1).unwrap();
    assert!(allows(&mut two, Some(b'b')));
    assert!(!allows(&mut one, Some(b'b')));
}

#[test]
fn what_is_wrong_is_said_in_the_librarys_words() {
    assert!(error(JSON_SCHEMA, "{").contains("is not JSON"));
    assert!(error(JSON_SCHEMA, r#"{"type": "objekt"}"#).contains("objekt"));
    assert!(!error(REGEX, "[a").is_empty());
    assert!(!error(LARK, "start: missing").is_empty());
    assert!(error(CHOICES, "[1]").contains("list of texts"));
}

#[test]
fn what_is_too_complex_is_refused() {
    let deep = format!("start: {}\"a\"{}", "(".repeat(100_000), ")".repeat(100_000));
    assert!(error(LARK, &deep).contains("1(37): lark grammar too deeply nested"));
    assert!(!error(REGEX, &format!("{}a{}", "(".repeat(10_000), ")".repeat(10_000))).is_empty());
    assert!(error(JSON_SCHEMA, &"[".repeat(10_000)).contains("recursion limit"));
    let mut limited = vocabulary();
    limited.factory.limits_mut().max_grammar_size = 20;
    let words: Vec<String> = (0..50).map(|i| format!("\"word{i}\"")).collect();
    let failure = limited.compile(LARK, &format!("start: {}", words.join(" | "))).err();
    assert!(failure.is_some());
}

#[test]
fn a_model_without_an_end_token_is_refused() {
    let failure = GrammarVocabulary::new(&byte_tokenizer(), &[], 257).err().unwrap();
    assert!(failure.message.contains("end-of-text"));
}
