//! Chat messages to prompt text by a Jinja template, in the dialect that `transformers` gives
//! templates: trimmed blocks, loop controls, Python's methods, `raise_exception`, `strftime_now`, a
//! plain `tojson` and `{% generation %}` blocks.

use std::error::Error as _;
use std::ffi::c_char;
use std::fmt;
use std::io::{self, Write};

use minijinja::machinery::{tokenize, Token};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};
use regex::Regex;

use crate::abi::{deref, guard, slice, store, writable, Buffer, Failure, Outcome, View, INTERNAL};
use crate::python::{strftime_now, tojson};

const NAME: &str = "chat_template";
/// A render runs no more instructions than this, enough for thousands of messages: an endless loop
/// ends with an error. Each instruction can nest a value once more.
const INSTRUCTION_LIMIT: u64 = 1_000_000;
/// The engine goes down into nested values by a call for each level, to show or to drop them: up to
/// 420 bytes for each instruction that it took to nest them, so this is enough for all of the above.
/// Only what is used of it becomes memory.
const STACK_BYTES: usize = 512 << 20;
/// The engine's parser nests no deeper than 150, but for what stands in chains: operators, filters,
/// signs within a tag, and `elif`. Templates have dozens of either.
const TAG_TOKEN_LIMIT: usize = 2000;
const ELIF_LIMIT: usize = 1000;
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
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()
            .map_err(|error| Failure::invalid(error.to_string()))?;
        let source = without_generation_tags(source);
        check_chains(&source, &syntax)?;
        let mut environment = Environment::new();
        environment.set_syntax(syntax);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_fuel(Some(INSTRUCTION_LIMIT));
        environment.set_recursion_limit(RECURSION_LIMIT);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", strftime_now);
        environment.add_filter("tojson", tojson);
        environment.remove_filter("pprint"); // Nobody needs it, and its indents know no bound.
        on_a_large_stack(|| environment.add_template_owned(NAME, source))?
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
        let mut output = CappedOutput::default();
        on_a_large_stack(|| {
            let context = Value::from(Serde(Context {
                variables: &self.variables,
                messages,
                add_generation_prompt,
                tools: None,
                documents: None,
            }));
            let template = self.environment.get_template(NAME)?;
            template.render_captured_to(context, &mut output).map(drop)
        })?
        .map_err(|error| Failure::invalid(describe(&error)))?;
        String::from_utf8(output.bytes).map_err(|error| Failure::invalid(error.to_string()))
    }
}

/// `{% generation %}` marks the assistant's words for training; to render, it is a plain scope.
fn without_generation_tags(source: &str) -> String {
    let tag = Regex::new(r"(\{%[-+]?\s*)(end)?generation(\s*[-+]?%\})").expect("a valid pattern");
    tag.replace_all(source, "${1}${2}with${3}").into_owned()
}

/// What the engine would parse into a tree of any depth is refused before.
fn check_chains(source: &str, syntax: &SyntaxConfig) -> Outcome<()> {
    let (mut in_tag, mut elifs) = (0, 0);
    // A mistake is the parser's to tell.
    for (token, span) in tokenize(source, false, syntax.clone()).map_while(Result::ok) {
        match token {
            Token::VariableStart | Token::BlockStart => in_tag = 0,
            Token::Ident("elif") if in_tag == 0 => elifs += 1,
            _ => in_tag += 1,
        }
        let too_long = if in_tag > TAG_TOKEN_LIMIT {
            format!("a tag has more than {TAG_TOKEN_LIMIT} tokens")
        } else if elifs > ELIF_LIMIT {
            format!("there are more than {ELIF_LIMIT} elif")
        } else {
            continue;
        };
        return Err(Failure::invalid(format!("{too_long} (line {})", span.start_line)));
    }
    Ok(())
}

/// Runs `work` where values may nest as deep as INSTRUCTION_LIMIT lets them. A panic goes on here.
fn on_a_large_stack<T: Send>(work: impl FnOnce() -> T + Send) -> Outcome<T> {
    std::thread::scope(|scope| {
        let worker = std::thread::Builder::new()
            .name("chat template".into())
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, work)
            .map_err(|error| Failure {
                code: INTERNAL,
                message: format!("no thread for the chat template: {error}"),
            })?;
        Ok(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
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
