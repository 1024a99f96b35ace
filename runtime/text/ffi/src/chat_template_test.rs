use super::*;
use crate::abi::{hocket_text_buffer_free, hocket_text_error_free, INVALID_ARGUMENT, OK};
use std::ffi::CStr;
use std::ptr::{null, null_mut};

fn view(text: &str) -> View {
    View { data: text.as_ptr(), size: text.len() }
}

unsafe fn take(error: *mut c_char) -> String {
    let text = CStr::from_ptr(error).to_str().unwrap().to_owned();
    hocket_text_error_free(error);
    text
}

fn render(source: &str) -> Result<String, String> {
    let template = ChatTemplate::new(source, r#"{"bos_token": "<s>"}"#).map_err(|f| f.message)?;
    let messages = [
        Message { role: "user", content: " Hi <b> " },
        Message { role: "assistant", content: "Ho" },
    ];
    template.render(&messages, true).map_err(|failure| failure.message)
}

#[test]
fn the_dialect_of_transformers() {
    let source = "{{ bos_token }}\n{%- for m in messages %}\n    {% if loop.first %}\n[{{ m['content'].strip() }}]\n\
                  {% else %}({{ m.role|upper }}){% endif %}{% endfor %}{{ none_such }}\n";
    assert_eq!(render(source).unwrap(), "<s>[Hi <b>]\n(ASSISTANT)");
    assert_eq!(
        render("{% for i in range(9) %}{% if i == 2 %}{% break %}{% endif %}{{ i }}{% endfor %}")
            .unwrap(),
        "01"
    );
    assert_eq!(
        render("{% if tools is none and documents is defined %}ok{% endif %}").unwrap(),
        "ok"
    );
}

#[test]
fn generation_blocks_render_their_content() {
    let source = "a{%- generation -%} {{ messages[1].content }} {%- endgeneration %}b";
    assert_eq!(render(source).unwrap(), "aHob");
}

#[test]
fn a_raised_exception_arrives_in_the_templates_own_words() {
    assert_eq!(
        render("{{ raise_exception('roles must alternate') }}").unwrap_err(),
        "roles must alternate"
    );
    let nested = "{% macro m() %}{{ raise_exception('deep') }}{% endmacro %}{{ m() }}";
    assert_eq!(render(nested).unwrap_err(), "deep");
}

#[test]
fn a_mistake_in_the_template_names_its_line() {
    assert!(render("a\n{% if %}").unwrap_err().ends_with("(line 2)"));
    assert!(render("a\n{{ 1 + messages }}").unwrap_err().ends_with("(line 2)"));
}

#[test]
fn runaway_templates_end_with_an_error() {
    let endless = "{% for a in range(9999) %}{% for b in range(9999) %}{% set x = a %}{% endfor %}{% endfor %}";
    assert!(render(endless).unwrap_err().contains("instructions"), "{:?}", render(endless));
    let deep = "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}";
    assert!(render(deep).unwrap_err().contains("recursion"), "{:?}", render(deep));
    let wide = "{% set x = 'x' * 1000000 %}{% for a in range(100) %}{{ x }}{% endfor %}";
    assert_eq!(render(wide).unwrap_err(), "the rendered text is over 64 MiB");
}

#[test]
fn the_abi_renders_and_refuses_by_name() {
    let (mut template, mut error) = (null_mut(), null_mut());
    let mut text = Buffer { data: null_mut(), size: 0 };
    let message = MessageView { role: view("user"), content: view("é") };
    unsafe {
        let source = view("{% for m in messages %}{{ m.role }}:{{ m.content }}{% endfor %}");
        assert_eq!(hocket_chat_template_new(source, view("{}"), &mut template, &mut error), OK);
        assert_eq!(
            hocket_chat_template_render(template, &message, 1, false, &mut text, &mut error),
            OK
        );
        assert_eq!(std::slice::from_raw_parts(text.data, text.size), "user:é".as_bytes());
        hocket_text_buffer_free(text);

        let broken =
            MessageView { role: view("user"), content: View { data: b"a\xc3".as_ptr(), size: 2 } };
        let code = hocket_chat_template_render(template, &broken, 1, false, null_mut(), &mut error);
        assert_eq!(code, INVALID_ARGUMENT);
        assert_eq!(take(error), "messages[0].content is not valid UTF-8 at byte 1");
        let code = hocket_chat_template_render(template, null(), 1, false, null_mut(), &mut error);
        assert_eq!((code, take(error)), (INVALID_ARGUMENT, "messages is null".into()));
        let code =
            hocket_chat_template_render(template, &message, 1, false, null_mut(), &mut error);
        assert_eq!((code, take(error)), (INVALID_ARGUMENT, "text is null".into()));
        hocket_chat_template_free(template);

        let code = hocket_chat_template_render(null(), null(), 0, false, null_mut(), &mut error);
        assert_eq!((code, take(error)), (INVALID_ARGUMENT, "chat_template is null".into()));
        let code = hocket_chat_template_new(view("x"), view("{"), &mut template, &mut error);
        assert_eq!(code, INVALID_ARGUMENT);
        assert!(take(error).starts_with("variables: "));
        assert!(template.is_null());
        hocket_chat_template_free(null_mut());
    }
}
