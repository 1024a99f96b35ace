//! Chat messages to prompt text by a Jinja template, in the dialect that `transformers` gives
//! templates: trimmed blocks, loop controls, Python's methods, `raise_exception`, `strftime_now`, a
//! plain `tojson` and `{% generation %}` blocks.

use std::error::Error as _;
use std::ffi::c_char;
use std::fmt;
use std::io::{self, Write};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};
use regex::Regex;

use crate::abi::{deref, guard, slice, store, writable, Buffer, Failure, Outcome, View};
use crate::python::{strftime_now, tojson};

const NAME: &str = "chat_template";
/// A render runs no more instructions than this (a second or so): an endless loop ends with an error.
const INSTRUCTION_LIMIT: u64 = 10_000_000;
/// Nested calls; a frame takes a few KiB of a thread's stack.
const RECURSION_LIMIT: usize = 100;
const OUTPUT_LIMIT_BYTES: usize = 64 << 20;

pub struct ChatTemplate {
    environment: Environment<'static>,
    variables: serde_json::Map<String, serde_json::Value>,
}

#[derive(serde::Serialize)]
pub struct Message<'a> {
    role: &'a str,
    content: &'a str,
}

impl ChatTemplate {
    /// `variables` is a JSON object of what the template sees beside the messages (bos_token, ...).
    pub fn new(source: &str, variables: &str) -> Outcome<Self> {
        let variables = serde_json::from_str(variables)
            .map_err(|error| Failure::invalid(format!("variables: {error}")))?;
        let mut environment = Environment::new();
        environment.set_syntax(
            SyntaxConfig::builder()
                .trim_blocks(true)
                .lstrip_blocks(true)
                .build()
                .map_err(|error| Failure::invalid(error.to_string()))?,
        );
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(INSTRUCTION_LIMIT));
        environment.set_recursion_limit(RECURSION_LIMIT);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", tojson);
        environment
            .add_template_owned(NAME, without_generation_tags(source))
            .map_err(|error| Failure::invalid(describe(&error)))?;
        Ok(ChatTemplate { environment, variables })
    }

    pub fn render(&self, messages: &[Message], add_generation_prompt: bool) -> Outcome<String> {
        #[derive(serde::Serialize)]
        struct Context<'a> {
            #[serde(flatten)]
            variables: &'a serde_json::Map<String, serde_json::Value>,
            messages: &'a [Message<'a>],
            add_generation_prompt: bool,
            tools: Option<()>,     // Templates ask whether these are none, so they
            documents: Option<()>, // must be defined.
        }
        let context = Value::from(Serde(Context {
            variables: &self.variables,
            messages,
            add_generation_prompt,
            tools: None,
            documents: None,
        }));
        let mut output = CappedOutput::default();
        self.environment
            .get_template(NAME)
            .and_then(|template| template.render_captured_to(context, &mut output).map(drop))
            .map_err(|error| Failure::invalid(describe(&error)))?;
        String::from_utf8(output.bytes).map_err(|error| Failure::invalid(error.to_string()))
    }
}

/// `{% generation %}` marks the assistant's words for training; to render, it is a plain scope.
fn without_generation_tags(source: &str) -> String {
    let tag = Regex::new(r"(\{%[-+]?\s*)(end)?generation(\s*[-+]?%\})").expect("a valid pattern");
    tag.replace_all(source, "${1}${2}with${3}").into_owned()
}

#[derive(Default)]
struct CappedOutput {
    bytes: Vec<u8>,
}

impl Write for CappedOutput {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if data.len() > OUTPUT_LIMIT_BYTES - self.bytes.len() {
            return Err(io::Error::other("the rendered text is over 64 MiB"));
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Marks an error as the template's own words, to be shown without any of ours.
#[derive(Debug)]
struct Raised(String);

impl fmt::Display for Raised {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

fn raise_exception(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message.clone()).with_source(Raised(message)))
}

fn describe(error: &Error) -> String {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(raised) = inner.downcast_ref::<Raised>() {
            return raised.0.clone();
        }
        if let Some(capped) = inner.downcast_ref::<io::Error>() {
            return capped.to_string();
        }
        cause = inner.source();
    }
    let what = match (error.kind(), error.detail()) {
        (ErrorKind::OutOfFuel, _) => {
            format!("the template ran over {INSTRUCTION_LIMIT} instructions")
        }
        (kind, Some(detail)) => format!("{kind}: {detail}"),
        (kind, None) => kind.to_string(),
    };
    match error.line() {
        Some(line) => format!("{what} (line {line})"),
        None => what,
    }
}

// ---- Entry points: see text_ffi.h. Safety: pointers are null or as that header says. ----

/// `hocket_chat_message`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct MessageView {
    pub role: View,
    pub content: View,
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn hocket_chat_template_new(
    source: View,
    variables_json: View,
    chat_template: *mut *mut ChatTemplate,
    error: *mut *mut c_char,
) -> i32 {
    guard(error, || {
        store(chat_template, std::ptr::null_mut(), "chat_template")?;
        let made =
            ChatTemplate::new(source.text("source")?, variables_json.text("variables_json")?)?;
        store(chat_template, Box::into_raw(Box::new(made)), "chat_template")
    })
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn hocket_chat_template_free(chat_template: *mut ChatTemplate) {
    guard(std::ptr::null_mut(), || {
        if !chat_template.is_null() {
            drop(Box::from_raw(chat_template));
        }
        Ok(())
    });
}

/// # Safety
/// See the header.
#[no_mangle]
pub unsafe extern "C" fn hocket_chat_template_render(
    chat_template: *const ChatTemplate,
    messages: *const MessageView,
    message_count: usize,
    add_generation_prompt: bool,
    text: *mut Buffer,
    error: *mut *mut c_char,
) -> i32 {
    guard(error, || {
        let chat_template = deref(chat_template, "chat_template")?;
        let mut chat = Vec::with_capacity(message_count);
        for (index, view) in slice(messages, message_count, "messages")?.iter().enumerate() {
            chat.push(Message {
                role: view.role.text(&format!("messages[{index}].role"))?,
                content: view.content.text(&format!("messages[{index}].content"))?,
            });
        }
        let rendered = chat_template.render(&chat, add_generation_prompt)?;
        writable(text, "text")?;
        store(text, Buffer::new(rendered.into_bytes()), "text")
    })
}

#[cfg(test)]
#[path = "chat_template_test.rs"]
mod tests;
