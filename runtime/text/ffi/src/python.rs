//! Pieces of Python's standard library that chat templates lean on.

use std::ffi::CString;
use std::io;

use minijinja::value::{Kwargs, ValueKind};
use minijinja::{Error, ErrorKind, Value};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};

const DATE_LIMIT_BYTES: usize = 256;
const DEPTH_LIMIT: usize = 200; // Of JSON; Python's own stops near 1000.

/// `datetime.now().strftime(format)`: local time, by the C library's strftime as in Python.
pub fn strftime_now(format: String) -> Result<String, Error> {
    let invalid = |what: &str| Error::new(ErrorKind::InvalidOperation, what.to_owned());
    if format.is_empty() {
        return Ok(String::new());
    }
    let pattern = CString::new(format).map_err(|_| invalid("strftime_now: format holds a NUL"))?;
    let mut buffer = [0u8; DATE_LIMIT_BYTES];
    // Safety: every pointer is to a live local of the right type, and the size is the buffer's.
    let written = unsafe {
        let now = libc::time(std::ptr::null_mut());
        let mut parts: libc::tm = std::mem::zeroed();
        if libc::localtime_r(&now, &mut parts).is_null() {
            return Err(invalid("strftime_now: the clock is out of range"));
        }
        libc::strftime(buffer.as_mut_ptr().cast(), buffer.len(), pattern.as_ptr(), &parts)
    };
    if written == 0 {
        return Err(invalid("strftime_now: the date is empty or over 255 bytes"));
    }
    Ok(String::from_utf8_lossy(&buffer[..written]).into_owned())
}

/// `json.dumps` with `ensure_ascii=False`, as `transformers` defines the filter: ", " and ": "
/// between items, nothing escaped for HTML, `indent` and `sort_keys` on request.
pub fn tojson(value: Value, indent: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get("indent")?,
    };
    let ensure_ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let sort_keys = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    options.assert_all_used()?;

    let invalid =
        |error: serde_json::Error| Error::new(ErrorKind::BadSerialization, error.to_string());
    check_depth(&value, DEPTH_LIMIT)?;
    let mut json = serde_json::to_value(&value).map_err(invalid)?;
    if sort_keys {
        json.sort_all_objects();
    }
    let mut bytes = Vec::new();
    match indent.filter(|indent| !matches!(indent.kind(), ValueKind::None | ValueKind::Undefined)) {
        Some(indent) => {
            let width = usize::try_from(indent)?.min(16);
            let spaces = " ".repeat(width);
            let formatter = PrettyFormatter::with_indent(spaces.as_bytes());
            json.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, formatter))
        }
        None => json.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, Spaced)),
    }
    .map_err(invalid)?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Ok(Value::from(if ensure_ascii { escape_non_ascii(&text) } else { text }))
}

/// Each level is indented further than the one around it, so the text of a deep value has no bound.
fn check_depth(value: &Value, levels: usize) -> Result<(), Error> {
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
        return Ok(());
    }
    if levels == 0 {
        let what = format!("tojson: the value nests deeper than {DEPTH_LIMIT}");
        return Err(Error::new(ErrorKind::BadSerialization, what));
    }
    let is_map = value.kind() == ValueKind::Map;
    for item in value.try_iter()? {
        check_depth(&if is_map { value.get_item(&item)? } else { item }, levels - 1)?;
    }
    Ok(())
}

fn escape_non_ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for unit in json.encode_utf16() {
        match u8::try_from(unit) {
            Ok(byte) if byte.is_ascii() => escaped.push(byte.into()),
            _ => escaped.push_str(&format!("\\u{unit:04x}")),
        }
    }
    escaped
}

/// Python's separators: ", " between items and ": " after a key.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            w.write_all(b", ")
        }
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        w: &mut W,
        first: bool,
    ) -> io::Result<()> {
        if first {
            Ok(())
        } else {
            w.write_all(b", ")
        }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, w: &mut W) -> io::Result<()> {
        w.write_all(b": ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::value::Serde;
    use minijinja::{context, Environment};

    fn dump(expression: &str, json: &str) -> String {
        let mut environment = Environment::new();
        environment.add_filter("tojson", tojson);
        let value: serde_json::Value = serde_json::from_str(json).unwrap();
        let source = format!("{{{{ x|{expression} }}}}");
        environment.render_str(&source, context!(x => Value::from(Serde(value)))).unwrap()
    }

    #[test]
    fn tojson_is_pythons_json_dumps() {
        let json = r#"{"b":[1,2.0,null,true],"a":"<é'&\"😀\n>","e":{},"f":[]}"#;
        assert_eq!(
            dump("tojson", json),
            r#"{"b": [1, 2.0, null, true], "a": "<é'&\"😀\n>", "e": {}, "f": []}"#
        );
        assert_eq!(dump("tojson(ensure_ascii=true)", r#"["é😀"]"#), r#"["\u00e9\ud83d\ude00"]"#);
        assert_eq!(dump("tojson(sort_keys=true)", r#"{"b":1,"a":2}"#), r#"{"a": 2, "b": 1}"#);
        assert_eq!(dump("tojson(indent=2)", r#"{"b":[1]}"#), "{\n  \"b\": [\n    1\n  ]\n}");
        assert_eq!(dump("tojson(indent=none)", "[1,2]"), "[1, 2]");
    }

    #[test]
    fn strftime_gives_todays_year_and_refuses_what_does_not_fit() {
        let year: i32 = strftime_now("%Y".into()).unwrap().parse().unwrap();
        assert!(year > 2000);
        assert!(strftime_now("%Y".repeat(200)).is_err());
        assert!(strftime_now("a\0b".into()).is_err());
        assert_eq!(strftime_now(String::new()).unwrap(), "");
    }
}
