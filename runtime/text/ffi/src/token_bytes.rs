//! The bytes that each token of a vocabulary stands for in a text, which its spelling only hints at.

use serde_json::Value;
use tokenizers::Tokenizer as HfTokenizer;

use crate::abi::{Failure, Outcome};

/// What the tokenizer's decoder does to a spelling.
#[derive(Default)]
struct Spelling {
    byte_level: bool,        // Each character stands for one byte (GPT-2's table).
    byte_fallback: bool,     // "<0x0A>" is the byte 10.
    spaces: Vec<String>,     // These stand for a space ("▁").
    unknown: Option<String>, // A decoder whose spellings cannot be turned into bytes.
}

impl Spelling {
    fn of(decoder: &Value) -> Self {
        let mut spelling = Spelling::default();
        spelling.add(decoder);
        spelling
    }

    fn add(&mut self, decoder: &Value) {
        match decoder["type"].as_str().unwrap_or("") {
            "Sequence" => {
                decoder["decoders"].as_array().into_iter().flatten().for_each(|d| self.add(d))
            }
            "ByteLevel" => self.byte_level = true,
            "ByteFallback" => self.byte_fallback = true,
            "Metaspace" => self.spaces.extend(decoder["replacement"].as_str().map(String::from)),
            "Replace" => match (decoder["pattern"]["String"].as_str(), decoder["content"].as_str())
            {
                (Some(pattern), Some(" ")) => self.spaces.push(pattern.to_owned()),
                _ => self.unknown = Some("Replace".to_owned()),
            },
            "Fuse" | "Strip" | "" => {}
            other => self.unknown = Some(other.to_owned()),
        }
    }

    fn bytes(&self, piece: &str) -> Vec<u8> {
        if self.byte_level {
            return piece.chars().flat_map(byte_of).collect();
        }
        if self.byte_fallback {
            if let Some(byte) = fallback_byte(piece) {
                return vec![byte];
            }
        }
        let mut text = piece.to_owned();
        for space in &self.spaces {
            text = text.replace(space.as_str(), " ");
        }
        text.into_bytes()
    }
}

/// "<0x0A>".
fn fallback_byte(piece: &str) -> Option<u8> {
    let hex = piece.strip_prefix("<0x")?.strip_suffix('>')?;
    if hex.len() == 2 {
        u8::from_str_radix(hex, 16).ok()
    } else {
        None
    }
}

/// GPT-2's table: printable bytes stand for themselves, the others are moved up from U+0100 on.
/// A character outside of it stands for its own UTF-8.
fn byte_of(character: char) -> Vec<u8> {
    let code = character as u32;
    let printable = |byte: u32| matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF);
    if code < 0x100 && printable(code) {
        return vec![code as u8];
    }
    if (0x100..0x144).contains(&code) {
        let moved = (0..256u32).filter(|&byte| !printable(byte)).nth((code - 0x100) as usize);
        return moved.map(|byte| vec![byte as u8]).unwrap_or_default();
    }
    character.to_string().into_bytes()
}

/// One entry per id below `vocabulary_size`. Special tokens begin with 0xFF, which no text holds;
/// ids without a token are empty.
pub fn token_bytes(tokenizer: &HfTokenizer, vocabulary_size: usize) -> Outcome<Vec<Vec<u8>>> {
    let decoder = serde_json::to_value(tokenizer.get_decoder())
        .map_err(|error| Failure::invalid(format!("the decoder: {error}")))?;
    let spelling = Spelling::of(&decoder);
    if let Some(unknown) = spelling.unknown {
        return Err(Failure::invalid(format!(
            "this model's tokenizer has a {unknown} decoder, with which constraints do not work"
        )));
    }
    let mut words = vec![Vec::new(); vocabulary_size];
    let added = tokenizer.get_added_tokens_decoder();
    for (piece, id) in tokenizer.get_vocab(true) {
        let Some(word) = words.get_mut(id as usize) else { continue };
        *word = match added.get(&id) {
            Some(token) if token.special => [&[0xFF], token.content.as_bytes()].concat(),
            Some(token) => token.content.clone().into_bytes(),
            None => spelling.bytes(&piece),
        };
    }
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn byte_level_spellings_are_the_bytes_of_the_table() {
        let spelling = Spelling::of(&json!({"type": "ByteLevel"}));
        assert_eq!(spelling.bytes("Ġthe"), b" the");
        assert_eq!(spelling.bytes("Ċ"), b"\n");
        assert_eq!(spelling.bytes("âĺĥ"), "☃".as_bytes());
        assert_eq!(spelling.bytes("Ń"), [0xAD]);
    }

    #[test]
    fn byte_fallback_and_spaces_are_undone() {
        let spelling = Spelling::of(&json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}));
        assert_eq!(spelling.bytes("▁the"), b" the");
        assert_eq!(spelling.bytes("<0x0A>"), b"\n");
        assert_eq!(spelling.bytes("<0x0AB>"), b"<0x0AB>");
        assert!(spelling.unknown.is_none());
    }

    #[test]
    fn a_decoder_that_is_not_known_is_named() {
        assert_eq!(
            Spelling::of(&json!({"type": "WordPiece"})).unknown.as_deref(),
            Some("WordPiece")
        );
    }
}
