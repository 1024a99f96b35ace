//! What a generated text must match (`llguidance`): a grammar becomes, for each place in a text,
//! the set of tokens that may come there.

use std::ffi::c_char;
use std::sync::Arc;

use llguidance::api::{ParserLimits, TopLevelGrammar};
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{json, Value};

use crate::abi::{deref, guard, slice, store, writable, Failure, Outcome, View};
use crate::token_bytes::token_bytes;
use crate::tokenizer::Tokenizer;

pub const JSON_SCHEMA: i32 = 0;
pub const REGEX: i32 = 1;
pub const CHOICES: i32 = 2; // A JSON array of texts.
pub const LARK: i32 = 3;

/// A model's tokens, arranged for masks.
pub struct GrammarVocabulary {
    factory: ParserFactory,
}

impl GrammarVocabulary {
    pub fn new(tokenizer: &Tokenizer, ends: &[i32], vocabulary_size: i32) -> Outcome<Self> {
        let size = usize::try_from(vocabulary_size)
            .map_err(|_| Failure::invalid("the vocabulary size is negative"))?;
        let mut words = token_bytes(tokenizer.inner(), size)?;
        let ends: Vec<u32> = ends
            .iter()
            .filter_map(|&id| u32::try_from(id).ok())
            .filter(|&id| (id as usize) < size)
            .collect();
        let Some(&end) = ends.first() else {
            return Err(Failure::invalid(
                "the model has no end-of-text token, which constraints need",
            ));
        };
        for &id in &ends {
            let word = &mut words[id as usize];
            if word.first() != Some(&0xFF) {
                *word = format!("<end {id}>").into_bytes();
                word.insert(0, 0xFF);
            }
        }
        let trie = TokTrie::from(&TokRxInfo::new(size as u32, end), &words).with_eos_tokens(&ends);
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new_simple(&env)
            .map_err(|error| Failure::invalid(format!("the vocabulary: {error}")))?;
        *factory.limits_mut() = ParserLimits { verbose_errors: false, ..ParserLimits::default() };
        factory.quiet();
        Ok(GrammarVocabulary { factory })
    }

    pub fn compile(&self, kind: i32, text: &str) -> Outcome<Constraint> {
        let parser = self.factory.create_parser(grammar(kind, text)?);
        let matcher = Matcher::new(parser);
        if matcher.is_error() {
            return Err(Failure::invalid(plain(&matcher.get_error().unwrap_or_default())));
        }
        // A grammar whose first mask is too much work is refused here, not at its first token.
        let mut trial = matcher.deep_clone();
        trial.compute_mask_or_eos().map_err(|error| Failure::invalid(plain(&error.to_string())))?;
        if matcher.is_stopped() {
            return Err(Failure::invalid("only the empty text matches"));
        }
        Ok(Constraint { matcher })
    }
}

/// Without what the library appends for its own developers.
fn plain(error: &str) -> String {
    error.replace("<non-verbose/>", "").trim_end().to_owned()
}

fn grammar(kind: i32, text: &str) -> Outcome<TopLevelGrammar> {
    match kind {
        JSON_SCHEMA => {
            let mut schema: Value = serde_json::from_str(text)
                .map_err(|error| Failure::invalid(format!("is not JSON: {error}")))?;
            compact(&mut schema);
            Ok(TopLevelGrammar::from_json_schema(schema))
        }
        REGEX => Ok(TopLevelGrammar::from_regex(text)),
        CHOICES => {
            let choices: Vec<String> = serde_json::from_str(text)
                .map_err(|error| Failure::invalid(format!("is not a list of texts: {error}")))?;
            let quoted: Vec<String> =
                choices.iter().map(|choice| json!(choice).to_string()).collect();
            // One terminal: as rules, thousands of choices would be too many for the parser.
            let choices = quoted.join(" | ");
            Ok(TopLevelGrammar::from_lark(format!("start: CHOICE\nCHOICE: {choices}")))
        }
        LARK => Ok(TopLevelGrammar::from_lark(text.to_owned())),
        other => Err(Failure::invalid(format!("{other} is not a kind of constraint"))),
    }
}

/// Without spaces between its parts, unless the schema itself says how: a model that likes spaces
/// would otherwise never come to an end.
fn compact(schema: &mut Value) {
    if schema == &json!(true) {
        *schema = json!({});
    }
    if let Some(object) = schema.as_object_mut() {
        object.entry("x-guidance").or_insert(json!({"whitespace_flexible": false}));
    }
}

/// A constraint at one place of a text.
pub struct Constraint {
    matcher: Matcher,
}

impl Constraint {
    pub fn duplicate(&self) -> Self {
        Constraint { matcher: self.matcher.deep_clone() }
    }

    /// Bit i % 32 of word i / 32 says whether token i may come next.
    pub fn mask(&mut self, words: &mut [u32]) -> Outcome<()> {
        let mask = self
            .matcher
            .compute_mask_or_eos()
            .map_err(|error| Failure::invalid(plain(&error.to_string())))?;
        let found = mask.as_slice();
        let shared = found.len().min(words.len());
        words[..shared].copy_from_slice(&found[..shared]);
        words[shared..].fill(0);
        Ok(())
    }

    /// Whether the text is complete now: nothing may follow.
    pub fn accept(&mut self, token: i32) -> Outcome<bool> {
        let id = u32::try_from(token).map_err(|_| Failure::invalid("the token is negative"))?;
        self.matcher.consume_token(id).map_err(|error| {
            Failure::invalid(format!("token {token}: {}", plain(&error.to_string())))
        })?;
        Ok(self.matcher.is_stopped())
    }
}

// ---- Entry points: see text_ffi.h. Safety: pointers are null or as that header says. ----

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn hocket_grammar_vocabulary_new(
    tokenizer: *const Tokenizer,
    end_tokens: *const i32,
    end_token_count: usize,
    vocabulary_size: i32,
    vocabulary: *mut *mut GrammarVocabulary,
    error: *mut *mut c_char,
) -> i32 {
    guard(error, || {
        store(vocabulary, std::ptr::null_mut(), "vocabulary")?;
        let ends = slice(end_tokens, end_token_count, "end_tokens")?;
        let made = GrammarVocabulary::new(deref(tokenizer, "tokenizer")?, ends, vocabulary_size)?;
        store(vocabulary, Box::into_raw(Box::new(made)), "vocabulary")
    })
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn hocket_grammar_vocabulary_free(vocabulary: *mut GrammarVocabulary) {
    guard(std::ptr::null_mut(), || {
        if !vocabulary.is_null() {
            drop(Box::from_raw(vocabulary));
        }
        Ok(())
    });
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn hocket_constraint_new(
    vocabulary: *const GrammarVocabulary,
    kind: i32,
    text: View,
    constraint: *mut *mut Constraint,
    error: *mut *mut c_char,
) -> i32 {
    guard(error, || {
        store(constraint, std::ptr::null_mut(), "constraint")?;
        let made = deref(vocabulary, "vocabulary")?.compile(kind, text.text("text")?)?;
        store(constraint, Box::into_raw(Box::new(made)), "constraint")
    })
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn hocket_constraint_clone(
    constraint: *const Constraint,
    copy: *mut *mut Constraint,
    error: *mut *mut c_char,
) -> i32 {
    guard(error, || {
        store(copy, std::ptr::null_mut(), "copy")?;
        let made = deref(constraint, "constraint")?.duplicate();
        store(copy, Box::into_raw(Box::new(made)), "copy")
    })
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn hocket_constraint_free(constraint: *mut Constraint) {
    guard(std::ptr::null_mut(), || {
        if !constraint.is_null() {
            drop(Box::from_raw(constraint));
        }
        Ok(())
    });
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn hocket_constraint_mask(
    constraint: *mut Constraint,
    mask: *mut u32,
    word_count: usize,
    error: *mut *mut c_char,
) -> i32 {
    guard(error, || {
        writable(mask, "mask")?;
        let words = std::slice::from_raw_parts_mut(mask, word_count);
        let constraint =
            constraint.as_mut().ok_or_else(|| Failure::invalid("constraint is null"))?;
        constraint.mask(words)
    })
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn hocket_constraint_accept(
    constraint: *mut Constraint,
    token: i32,
    complete: *mut bool,
    error: *mut *mut c_char,
) -> i32 {
    guard(error, || {
        writable(complete, "complete")?;
        let constraint =
            constraint.as_mut().ok_or_else(|| Failure::invalid("constraint is null"))?;
        let done = constraint.accept(token)?;
        store(complete, done, "complete")
    })
}

#[cfg(test)]
#[path = "constraint_test.rs"]
mod tests;
