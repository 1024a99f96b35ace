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
fn a_source_that_nests_without_end_is_refused_by_its_line() {
    const DEPTH: usize = 100_000;
    let chain = |begin: &str, link: &str, end: &str| {
        render(&format!("a\n{begin}{}{end}", link.repeat(DEPTH))).unwrap_err()
    };
    for (begin, link, end) in [
        ("{{ ", "not ", "x }}"),
        ("{{ ", "- ", "x }}"),
        ("{{ ", "a if b else ", "c }}"),
        ("{{ x", " + x", " }}"),
        ("{{ x", ".a", " }}"),
        ("{{ x", "[0]", " }}"),
        ("{{ x", "|upper", " }}"),
        ("{{ x", " is defined", " }}"),
        ("{% for ", "(", "a in b %}{% endfor %}"),
        ("{% set x = ", "- ", "1 %}"),
    ] {
        assert_eq!(chain(begin, link, end), "a tag has more than 2000 tokens (line 2)", "{link}");
    }
    assert_eq!(
        chain("{% if a %}", "{% elif a %}", "{% endif %}"),
        "there are more than 1000 elif (line 2)"
    );
    for (begin, link) in [("{{ ", "["), ("{{ ", "("), ("{{ ", "{1:"), ("", "{% if a %}")] {
        let error = chain(begin, link, "");
        assert!(error.contains("recursion") || error.contains("2000 tokens"), "{link}: {error}");
    }
}

#[test]
fn what_only_looks_like_a_chain_is_text() {
    let dashes = "-".repeat(100_000);
    for source in [
        dashes.clone(),
        format!("{{{{ '{dashes}' }}}}"),
        format!("{{# {dashes} #}}"),
        format!("{{% raw %}}{{{{ {dashes} '{{% endraw %}}"),
        "{{ x }}".repeat(10_000),
        format!("{{{{ [{}] | length }}}}", "1,".repeat(900)),
        format!("{{% if false %}}{}{{% endif %}}", "{% elif false %}".repeat(999)),
    ] {
        assert!(render(&source).is_ok(), "{:?}", render(&source));
    }
}

#[test]
fn values_nest_as_deep_as_the_instructions_allow_and_no_stack_ends() {
    let wrapped = format!("{}ns.x{}", "[".repeat(60), "]".repeat(60));
    let grow = |step: &str, rounds: usize| {
        format!(
            "{{% set ns = namespace(x=[]) %}}{{% for i in range({rounds}) %}}\
             {{% set ns.x = {step} %}}{{% endfor %}}"
        )
    };
    let deep = grow(&wrapped, 13_000); // 780,000 levels.
    for (end, length) in [("ok", 2), ("{{ ns.x }}", 1_560_002), ("{{ ns.x == [ns.x] }}", 5)] {
        assert_eq!(render(&(deep.clone() + end)).map(|text| text.len()), Ok(length), "{end}");
    }
    let json = render(&(deep.clone() + "{{ ns.x|tojson(indent=8) }}")).unwrap_err();
    assert!(json.contains("nests deeper than 200"), "{json}");
    assert!(render(&(deep + "{{ ns.x|pprint }}")).unwrap_err().contains("unknown filter"));
    for step in ["{'a': ns.x}", "(ns.x,)", "dict(a=ns.x)", "namespace(x=ns.x)"] {
        let source = grow(step, 50_000) + "{{ (ns.x|string)|length > 0 }}";
        assert_eq!(render(&source).as_deref(), Ok("True"), "{step}");
    }
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
