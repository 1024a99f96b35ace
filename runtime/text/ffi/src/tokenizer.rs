//! Text to token ids and back.

use std::collections::HashSet;
use std::ffi::c_char;

use tokenizers::decoders::DecoderWrapper;
use tokenizers::{Decoder, Tokenizer as HfTokenizer};

use crate::abi::{deref, guard, slice, store, writable, Buffer, Failure, Outcome, Tokens, View};
use crate::utf8::repair_byte_runs;

pub struct Tokenizer {
    inner: HfTokenizer,
    special_ids: HashSet<u32>,
    vocabulary_size: i32,
    byte_fallback: bool,
}

impl Tokenizer {
    pub fn from_json(json: &[u8]) -> Outcome<Self> {
        let mut inner = HfTokenizer::from_bytes(json)
            .map_err(|error| Failure::invalid(format!("not a tokenizer: {error}")))?;
        // The file's settings for training batches: here they would cut or pad a prompt.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| Failure::invalid(format!("truncation: {error}")))?;
        inner.set_encode_special_tokens(false);

        let highest = inner.get_vocab(true).into_values().max();
        let vocabulary_size = match highest.map_or(Ok(0), |id| i32::try_from(u64::from(id) + 1)) {
            Ok(size) => size,
            Err(_) => return Err(Failure::invalid("a token id is over 2^31 - 2")),
        };
        let special_ids = inner
            .get_added_tokens_decoder()
            .into_iter()
            .filter(|(_, token)| token.special)
            .map(|(id, _)| id)
            .collect();
        let byte_fallback = inner.get_decoder().is_some_and(has_byte_fallback);
        Ok(Tokenizer { inner, special_ids, vocabulary_size, byte_fallback })
    }

    pub fn inner(&self) -> &HfTokenizer {
        &self.inner
    }

    pub fn encode(&self, text: &str, add_special_tokens: bool) -> Outcome<Vec<i32>> {
        let encoding = self
            .inner
            .encode_fast(text, add_special_tokens)
            .map_err(|error| Failure::invalid(format!("cannot encode: {error}")))?;
        Ok(encoding.get_ids().iter().map(|&id| id as i32).collect())
    }

    /// Ids that the vocabulary does not hold (a model's padded rows) have no text.
    pub fn decode(&self, tokens: &[i32], skip_special_tokens: bool) -> Outcome<String> {
        let mut pieces = Vec::with_capacity(tokens.len());
        for &token in tokens {
            let id = u32::try_from(token)
                .map_err(|_| Failure::invalid(format!("token id {token} is negative")))?;
            if skip_special_tokens && self.special_ids.contains(&id) {
                continue;
            }
            pieces.extend(self.inner.id_to_token(id));
        }
        if self.byte_fallback {
            pieces = repair_byte_runs(pieces);
        }
        match self.inner.get_decoder() {
            Some(decoder) => decoder
                .decode(pieces)
                .map_err(|error| Failure::invalid(format!("cannot decode: {error}"))),
            None => Ok(pieces.join(" ")),
        }
    }

    pub fn piece(&self, token: i32) -> Option<String> {
        self.inner.id_to_token(u32::try_from(token).ok()?)
    }

    pub fn id(&self, piece: &str) -> Option<i32> {
        self.inner.token_to_id(piece).map(|id| id as i32)
    }

    pub fn is_special(&self, token: i32) -> bool {
        u32::try_from(token).is_ok_and(|id| self.special_ids.contains(&id))
    }
}

fn has_byte_fallback(decoder: &DecoderWrapper) -> bool {
    match decoder {
        DecoderWrapper::ByteFallback(_) => true,
        DecoderWrapper::Sequence(sequence) => sequence.get_decoders().iter().any(has_byte_fallback),
        _ => false,
    }
}

// ---- Entry points: see text_ffi.h. Safety: pointers are null or as that header says. ----

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn hocket_tokenizer_load(
    json: View,
    tokenizer: *mut *mut Tokenizer,
    error: *mut *mut c_char,
) -> i32 {
    guard(error, || {
        store(tokenizer, std::ptr::null_mut(), "tokenizer")?;
        let loaded = Tokenizer::from_json(json.bytes("json")?)?;
        store(tokenizer, Box::into_raw(Box::new(loaded)), "tokenizer")
    })
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn hocket_tokenizer_free(tokenizer: *mut Tokenizer) {
    guard(std::ptr::null_mut(), || {
        if !tokenizer.is_null() {
            drop(Box::from_raw(tokenizer));
        }
        Ok(())
    });
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn hocket_tokenizer_encode(
    tokenizer: *const Tokenizer,
    text: View,
    add_special_tokens: bool,
    tokens: *mut Tokens,
    error: *mut *mut c_char,
) -> i32 {
    guard(error, || {
        let tokenizer = deref(tokenizer, "tokenizer")?;
        let encoded = tokenizer.encode(text.text("text")?, add_special_tokens)?;
        writable(tokens, "tokens")?;
        store(tokens, Tokens::new(encoded), "tokens")
    })
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn hocket_tokenizer_decode(
    tokenizer: *const Tokenizer,
    tokens: *const i32,
    token_count: usize,
    skip_special_tokens: bool,
    text: *mut Buffer,
    error: *mut *mut c_char,
) -> i32 {
    guard(error, || {
        let tokenizer = deref(tokenizer, "tokenizer")?;
        let decoded =
            tokenizer.decode(slice(tokens, token_count, "tokens")?, skip_special_tokens)?;
        writable(text, "text")?;
        store(text, Buffer::new(decoded.into_bytes()), "text")
    })
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn hocket_tokenizer_id_to_piece(
    tokenizer: *const Tokenizer,
    token: i32,
    piece: *mut Buffer,
    error: *mut *mut c_char,
) -> i32 {
    guard(error, || {
        let found = deref(tokenizer, "tokenizer")?.piece(token);
        writable(piece, "piece")?;
        let buffer = match found {
            Some(text) => Buffer::new(text.into_bytes()),
            None => Buffer { data: std::ptr::null_mut(), size: 0 },
        };
        store(piece, buffer, "piece")
    })
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn hocket_tokenizer_piece_to_id(
    tokenizer: *const Tokenizer,
    piece: View,
    token: *mut i32,
    error: *mut *mut c_char,
) -> i32 {
    guard(error, || {
        let found = deref(tokenizer, "tokenizer")?.id(piece.text("piece")?);
        store(token, found.unwrap_or(-1), "token")
    })
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn hocket_tokenizer_vocabulary_size(tokenizer: *const Tokenizer) -> i32 {
    tokenizer.as_ref().map_or(0, |tokenizer| tokenizer.vocabulary_size)
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn hocket_tokenizer_is_special(
    tokenizer: *const Tokenizer,
    token: i32,
) -> bool {
    tokenizer.as_ref().is_some_and(|tokenizer| tokenizer.is_special(token))
}

#[cfg(test)]
#[path = "tokenizer_test.rs"]
mod tests;
