//! Ill-formed runs of byte-fallback tokens.
//!
//! The `tokenizers` crate's ByteFallback decoder turns a whole run of byte tokens into one U+FFFD per
//! token as soon as one byte of it is ill-formed, so a later token can undo characters that a stream
//! has already sent. [`repair_byte_runs`] rewrites such runs first: well-formed characters stay, and
//! each maximal ill-formed part becomes one U+FFFD (the Unicode Standard's "substitution of maximal
//! subparts", which byte-level decoding does too). Runs that are well-formed are left alone.

const REPLACEMENT: &str = "\u{FFFD}";

pub fn repair_byte_runs(tokens: Vec<String>) -> Vec<String> {
    let mut repaired = Vec::with_capacity(tokens.len());
    let mut bytes = Vec::new();
    for token in tokens {
        match byte_of(&token) {
            Some(byte) => bytes.push(byte),
            None => {
                flush(&mut bytes, &mut repaired);
                repaired.push(token);
            }
        }
    }
    flush(&mut bytes, &mut repaired);
    repaired
}

/// The byte that a byte-fallback token such as "<0xE2>" stands for.
fn byte_of(token: &str) -> Option<u8> {
    if token.len() != 6 {
        return None;
    }
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(digits, 16).ok()
}

fn flush(bytes: &mut Vec<u8>, tokens: &mut Vec<String>) {
    for chunk in bytes.utf8_chunks() {
        tokens.extend(chunk.valid().bytes().map(|byte| format!("<0x{byte:02X}>")));
        if !chunk.invalid().is_empty() {
            tokens.push(REPLACEMENT.to_owned());
        }
    }
    bytes.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repair(tokens: &[&str]) -> Vec<String> {
        repair_byte_runs(tokens.iter().map(|token| token.to_string()).collect())
    }

    #[test]
    fn a_well_formed_run_is_left_alone() {
        let tokens = ["a", "<0xE2>", "<0x82>", "<0xAC>", "b"];
        assert_eq!(repair(&tokens), tokens);
    }

    #[test]
    fn characters_before_an_ill_formed_byte_stay() {
        let repaired = repair(&["<0xC3>", "<0xA9>", "<0xFF>", "b"]);
        assert_eq!(repaired, ["<0xC3>", "<0xA9>", REPLACEMENT, "b"]);
    }

    #[test]
    fn an_incomplete_character_becomes_one_replacement() {
        assert_eq!(repair(&["<0xF0>", "<0x9F>", "<0x98>", "x"]), [REPLACEMENT, "x"]);
        assert_eq!(repair(&["<0xFF>", "<0xFE>"]), [REPLACEMENT, REPLACEMENT]);
    }

    #[test]
    fn what_only_looks_like_a_byte_token_is_text() {
        assert_eq!(repair(&["<0xZZ>", "<0xA>", "<0x100>"]), ["<0xZZ>", "<0xA>", "<0x100>"]);
    }
}
