//! The C ABI declared and documented in `text_ffi.h`: tokenizers, chat templates and constraints for C++.
//!
//! Every entry point runs inside [`abi::guard`], so neither a panic nor a Rust error crosses the
//! boundary: the caller gets a status code and a C string. `abi` holds what the entry points share,
//! `tokenizer`, `chat_template` and `constraint` hold the work, each with its entry points at its end.

pub mod abi;
pub mod chat_template;
pub mod constraint;
mod python;
mod token_bytes;
pub mod tokenizer;
mod utf8;
