use super::*;
use crate::abi::{
    hocket_text_buffer_free, hocket_text_error_free, hocket_text_tokens_free, INVALID_ARGUMENT, OK,
};
use std::ffi::CStr;
use std::ptr::{null, null_mut};

const JSON: &str = r#"{
  "version": "1.0",
  "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
  "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null,
              "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"},
  "added_tokens": [{"id": 5, "content": "<pad>", "single_word": false, "lstrip": false,
                    "rstrip": false, "normalized": false, "special": true}],
  "normalizer": null, "pre_tokenizer": {"type": "Whitespace"}, "post_processor": null,
  "decoder": {"type": "ByteFallback"},
  "model": {"type": "WordLevel", "unk_token": "a",
            "vocab": {"a": 0, "b": 1, "c": 2, "<0xC3>": 3, "<0xA9>": 4}}
}"#;

fn view(bytes: &[u8]) -> View {
    View { data: bytes.as_ptr(), size: bytes.len() }
}

fn load() -> *mut Tokenizer {
    let (mut tokenizer, mut error) = (null_mut(), null_mut());
    let code = unsafe { hocket_tokenizer_load(view(JSON.as_bytes()), &mut tokenizer, &mut error) };
    assert_eq!(code, OK);
    tokenizer
}

unsafe fn take(error: *mut c_char) -> String {
    let text = CStr::from_ptr(error).to_str().unwrap().to_owned();
    hocket_text_error_free(error);
    text
}

#[test]
fn invalid_json_is_an_error_with_its_place() {
    let (mut tokenizer, mut error) = (null_mut(), null_mut());
    let code =
        unsafe { hocket_tokenizer_load(view(b"{\"model\": [}"), &mut tokenizer, &mut error) };
    assert_eq!(code, INVALID_ARGUMENT);
    assert!(tokenizer.is_null());
    assert!(unsafe { take(error) }.contains("line 1 column"));
}

#[test]
fn truncation_and_padding_of_the_file_are_off() {
    let tokenizer = load();
    let (mut tokens, mut error) = (Tokens { data: null_mut(), size: 0 }, null_mut());
    unsafe {
        let text = view(b"a b c a");
        assert_eq!(hocket_tokenizer_encode(tokenizer, text, true, &mut tokens, &mut error), OK);
        assert_eq!(std::slice::from_raw_parts(tokens.data, tokens.size), [0, 1, 2, 0]);
        hocket_text_tokens_free(tokens);
        hocket_tokenizer_free(tokenizer);
    }
}

#[test]
fn null_pointers_are_refused_by_name() {
    let mut error = null_mut();
    unsafe {
        let code = hocket_tokenizer_encode(null(), view(b"a"), false, null_mut(), &mut error);
        assert_eq!((code, take(error)), (INVALID_ARGUMENT, "tokenizer is null".into()));
        let tokenizer = load();
        let code = hocket_tokenizer_encode(tokenizer, view(b"a"), false, null_mut(), &mut error);
        assert_eq!((code, take(error)), (INVALID_ARGUMENT, "tokens is null".into()));
        let code = hocket_tokenizer_decode(tokenizer, null(), 2, false, null_mut(), &mut error);
        assert_eq!((code, take(error)), (INVALID_ARGUMENT, "tokens is null".into()));
        let code = hocket_tokenizer_load(view(b"{}"), null_mut(), &mut error);
        assert_eq!((code, take(error)), (INVALID_ARGUMENT, "tokenizer is null".into()));
        assert_eq!(hocket_tokenizer_vocabulary_size(null()), 0);
        assert!(!hocket_tokenizer_is_special(null(), 0));
        hocket_tokenizer_free(null_mut());
        hocket_tokenizer_free(tokenizer);
    }
}

#[test]
fn ids_and_pieces() {
    let tokenizer = load();
    let (mut id, mut error) = (0, null_mut());
    let mut piece = Buffer { data: null_mut(), size: 0 };
    unsafe {
        assert_eq!(hocket_tokenizer_vocabulary_size(tokenizer), 6);
        assert!(hocket_tokenizer_is_special(tokenizer, 5));
        assert!(!hocket_tokenizer_is_special(tokenizer, 1));
        assert!(!hocket_tokenizer_is_special(tokenizer, -1));
        assert_eq!(hocket_tokenizer_piece_to_id(tokenizer, view(b"c"), &mut id, &mut error), OK);
        assert_eq!(id, 2);
        assert_eq!(hocket_tokenizer_piece_to_id(tokenizer, view(b"z"), &mut id, &mut error), OK);
        assert_eq!(id, -1);
        assert_eq!(hocket_tokenizer_id_to_piece(tokenizer, 5, &mut piece, &mut error), OK);
        assert_eq!(std::slice::from_raw_parts(piece.data, piece.size), b"<pad>");
        hocket_text_buffer_free(piece);
        for outside in [6, -1, i32::MAX] {
            let mut none = Buffer { data: null_mut(), size: 1 };
            assert_eq!(hocket_tokenizer_id_to_piece(tokenizer, outside, &mut none, &mut error), OK);
            assert!(none.data.is_null());
        }
        hocket_tokenizer_free(tokenizer);
    }
}

#[test]
fn decoding_skips_specials_and_unknown_ids_and_repairs_byte_runs() {
    let tokenizer = Tokenizer::from_json(JSON.as_bytes()).unwrap();
    assert_eq!(tokenizer.decode(&[0, 5, 9, 1], true).unwrap(), "ab");
    assert_eq!(tokenizer.decode(&[0, 5, 1], false).unwrap(), "a<pad>b");
    assert_eq!(tokenizer.decode(&[3, 4, 3, 0], true).unwrap(), "é\u{FFFD}a");
    assert!(tokenizer.decode(&[0, -1], true).is_err());
}
