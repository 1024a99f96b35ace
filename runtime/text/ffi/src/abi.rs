//! What every entry point shares: status codes, views of the caller's memory, owned results, and
//! the guard that turns errors and panics into a code and a message.

use std::any::Any;
use std::ffi::{c_char, CString};
use std::panic::{catch_unwind, AssertUnwindSafe};

pub const OK: i32 = 0;
pub const INVALID_ARGUMENT: i32 = 1;
pub const INTERNAL: i32 = 2;

/// A failure on its way to the caller.
#[derive(Debug)]
pub struct Failure {
    pub code: i32,
    pub message: String,
}

impl Failure {
    pub fn invalid(message: impl Into<String>) -> Self {
        Failure { code: INVALID_ARGUMENT, message: message.into() }
    }
}

pub type Outcome<T> = Result<T, Failure>;

/// `hocket_text_view`: bytes that the caller owns.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct View {
    pub data: *const u8,
    pub size: usize,
}

impl View {
    /// # Safety
    /// `data` points at `size` bytes that outlive the returned slice, or is null with size 0.
    pub unsafe fn bytes<'a>(self, name: &str) -> Outcome<&'a [u8]> {
        slice(self.data, self.size, name)
    }

    /// # Safety
    /// As [`View::bytes`].
    pub unsafe fn text<'a>(self, name: &str) -> Outcome<&'a str> {
        std::str::from_utf8(self.bytes(name)?).map_err(|error| {
            Failure::invalid(format!("{name} is not valid UTF-8 at byte {}", error.valid_up_to()))
        })
    }
}

/// # Safety
/// `data` points at `size` values that outlive the returned slice, or is null with size 0.
pub unsafe fn slice<'a, T>(data: *const T, size: usize, name: &str) -> Outcome<&'a [T]> {
    match (data.is_null(), size) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(Failure::invalid(format!("{name} is null"))),
        (false, _) => Ok(std::slice::from_raw_parts(data, size)),
    }
}

/// # Safety
/// `pointer` is null or points at a live value.
pub unsafe fn deref<'a, T>(pointer: *const T, name: &str) -> Outcome<&'a T> {
    pointer.as_ref().ok_or_else(|| Failure::invalid(format!("{name} is null")))
}

/// # Safety
/// `pointer` is null or points at writable memory for a `T`.
pub unsafe fn store<T>(pointer: *mut T, value: T, name: &str) -> Outcome<()> {
    writable(pointer, name)?;
    pointer.write(value);
    Ok(())
}

/// Asked before a result is made that only the caller can free.
pub fn writable<T>(pointer: *mut T, name: &str) -> Outcome<()> {
    if pointer.is_null() {
        return Err(Failure::invalid(format!("{name} is null")));
    }
    Ok(())
}

/// `hocket_text_buffer`: bytes that this crate owns until `hocket_text_buffer_free`.
#[repr(C)]
pub struct Buffer {
    pub data: *mut u8,
    pub size: usize,
}

impl Buffer {
    pub fn new(bytes: Vec<u8>) -> Self {
        let bytes = Box::leak(bytes.into_boxed_slice());
        Buffer { data: bytes.as_mut_ptr(), size: bytes.len() }
    }
}

/// `hocket_text_tokens`: token ids that this crate owns until `hocket_text_tokens_free`.
#[repr(C)]
pub struct Tokens {
    pub data: *mut i32,
    pub size: usize,
}

impl Tokens {
    pub fn new(tokens: Vec<i32>) -> Self {
        let tokens = Box::leak(tokens.into_boxed_slice());
        Tokens { data: tokens.as_mut_ptr(), size: tokens.len() }
    }
}

/// Runs an entry point's body; a failure or a panic becomes a status code and `*error`.
///
/// # Safety
/// `error` is null or points at writable memory for a pointer.
pub unsafe fn guard(error: *mut *mut c_char, body: impl FnOnce() -> Outcome<()>) -> i32 {
    let failure = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return OK,
        Ok(Err(failure)) => failure,
        Err(panic) => Failure { code: INTERNAL, message: panic_message(panic.as_ref()) },
    };
    if !error.is_null() {
        let message = failure.message.replace('\0', "\\0");
        error.write(CString::new(message).unwrap_or_default().into_raw());
    }
    failure.code
}

fn panic_message(panic: &(dyn Any + Send)) -> String {
    let what = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    format!("the text library panicked: {what}")
}

/// # Safety
/// `text` is null or came from this crate as an error and was not freed before.
#[no_mangle]
pub unsafe extern "C" fn hocket_text_error_free(text: *mut c_char) {
    if !text.is_null() {
        drop(CString::from_raw(text));
    }
}

/// # Safety
/// `buffer` came from this crate and was not freed before.
#[no_mangle]
pub unsafe extern "C" fn hocket_text_buffer_free(buffer: Buffer) {
    if !buffer.data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(buffer.data, buffer.size)));
    }
}

/// # Safety
/// `tokens` came from this crate and were not freed before.
#[no_mangle]
pub unsafe extern "C" fn hocket_text_tokens_free(tokens: Tokens) {
    if !tokens.data.is_null() {
        drop(Box::from_raw(std::ptr::slice_from_raw_parts_mut(tokens.data, tokens.size)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::CStr;

    unsafe fn take(error: *mut c_char) -> String {
        let text = CStr::from_ptr(error).to_str().unwrap().to_owned();
        hocket_text_error_free(error);
        text
    }

    #[test]
    fn a_panic_becomes_an_internal_error_with_its_message() {
        let mut error = std::ptr::null_mut();
        let code = unsafe { guard(&mut error, || panic!("lost {}", 7)) };
        assert_eq!(code, INTERNAL);
        assert_eq!(unsafe { take(error) }, "the text library panicked: lost 7");
    }

    #[test]
    fn an_error_with_a_nul_still_arrives() {
        let mut error = std::ptr::null_mut();
        let code = unsafe { guard(&mut error, || Err(Failure::invalid("a\0b"))) };
        assert_eq!(code, INVALID_ARGUMENT);
        assert_eq!(unsafe { take(error) }, "a\\0b");
    }

    #[test]
    fn a_null_error_pointer_is_allowed() {
        assert_eq!(unsafe { guard(std::ptr::null_mut(), || Err(Failure::invalid("x"))) }, 1);
    }

    #[test]
    fn freeing_nothing_is_allowed() {
        unsafe {
            hocket_text_error_free(std::ptr::null_mut());
            hocket_text_buffer_free(Buffer { data: std::ptr::null_mut(), size: 0 });
            hocket_text_tokens_free(Tokens { data: std::ptr::null_mut(), size: 0 });
            hocket_text_buffer_free(Buffer::new(Vec::new()));
        }
    }

    #[test]
    fn a_view_names_the_byte_where_utf8_breaks() {
        let bytes = b"ab\xffc";
        let view = View { data: bytes.as_ptr(), size: bytes.len() };
        let failure = unsafe { view.text("text") }.unwrap_err();
        assert_eq!(failure.message, "text is not valid UTF-8 at byte 2");
    }

    #[test]
    fn a_null_view_is_empty_only_with_size_zero() {
        let null = std::ptr::null();
        assert_eq!(unsafe { View { data: null, size: 0 }.text("text") }.unwrap(), "");
        assert!(unsafe { View { data: null, size: 3 }.text("text") }.is_err());
    }
}
