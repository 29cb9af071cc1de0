//! The tokens of a JSON text: the text without the spaces between them, and without one member.
//!
//! Reads the text once and builds no tree. Correct only for JSON, which the caller has to ensure; for any other text the
//! result is arbitrary, without a panic.

/// Returns the text of an object without spaces between its tokens and without its member `name`, and that member's value.
///
/// `None` if there is no such member with a string, if there are several, or if it is written with escapes.
pub(super) fn without<'a>(name: &str, json: &'a str) -> Option<(Vec<u8>, &'a [u8])> {
    let json = json.as_bytes();
    let mut tokens = Vec::with_capacity(json.len());
    let mut value = None;
    let (mut depth, mut at) = (0_usize, 0);
    // After the member, the comma behind it goes too.
    let mut is_comma_due = false;
    while let Some(&byte) = json.get(at) {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => {
                at += 1;
                continue;
            }
            b',' if is_comma_due => {
                (at, is_comma_due) = (at + 1, false);
                continue;
            }
            b'"' => {
                let string = string(&json[at..])?;
                at += string.len();
                let is_key = depth == 1 && matches!(tokens.last(), Some(b'{' | b','));
                if is_key && string[1..string.len() - 1] == *name.as_bytes() {
                    let (found, length) = string_value(&json[at..])?;
                    if value.replace(found).is_some() {
                        return None;
                    }
                    is_comma_due = true;
                    at += length;
                } else {
                    tokens.extend_from_slice(string);
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                if is_comma_due && tokens.last() == Some(&b',') {
                    tokens.pop();
                }
                is_comma_due = false;
            }
            _ => {}
        }
        tokens.push(byte);
        at += 1;
    }
    Some((tokens, value?))
}

/// Returns the string that a text begins with, with its quotes.
fn string(text: &[u8]) -> Option<&[u8]> {
    let mut at = 1;
    loop {
        at += text
            .get(at..)?
            .iter()
            .position(|b| matches!(b, b'"' | b'\\'))?;
        match text[at] {
            b'"' => return text.get(..=at),
            _ => at += 2,
        }
    }
}

/// Returns the string after a colon, without its quotes, and the length of all that.
fn string_value(text: &[u8]) -> Option<(&[u8], usize)> {
    let after = text
        .trim_ascii_start()
        .strip_prefix(b":")?
        .trim_ascii_start();
    if after.first() != Some(&b'"') {
        return None;
    }
    let string = string(after)?;
    let content = &string[1..string.len() - 1];
    let length = text.len() - after.len() + string.len();
    (!content.contains(&b'\\')).then_some((content, length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn one_member_is_taken_out_wherever_it_stands() {
        for (json, left) in [
            (r#"{ "code": "7f" }"#, "{}"),
            (r#"{"code":"7f", "b" : [1, 2]}"#, r#"{"b":[1,2]}"#),
            (
                "{\"a\": 1,\n\t\"code\" : \"7f\",\r\"z\": {}}",
                r#"{"a":1,"z":{}}"#,
            ),
            (r#"{"a": "é \" , ", "code": "7f"}"#, r#"{"a":"é \" , "}"#),
            (
                r#"{"a": {"code": "x"}, "b": "code", "code": "7f"}"#,
                r#"{"a":{"code":"x"},"b":"code"}"#,
            ),
        ] {
            assert_eq!(
                without("code", json),
                Some((left.into(), &b"7f"[..])),
                "{json}"
            );
        }
    }

    #[test]
    fn a_member_that_is_missing_repeated_escaped_or_nested_is_not_found() {
        for json in [
            "",
            "{}",
            r#"{"code": 7}"#,
            r#"{"code": "7f", "code": "7f"}"#,
            r#"{"code": "7f", "a": 1, "code": "00"}"#,
            r#"{"code": "\u0037f"}"#,
            r#"{"a": {"code": "7f"}}"#,
            r#"{"a": "code", "b": ["code", "7f"]}"#,
            r#"{"code": "7f"#,
            r#"{"code""#,
            "}",
        ] {
            assert_eq!(without("code", json), None, "{json}");
        }
    }

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            let members = proptest::collection::btree_map("[a-e]|code|.*", inner.clone(), 0..4);
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(Value::from),
                members.prop_map(|m| m.into_iter().collect::<serde_json::Map<_, _>>().into()),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_rest_equals_the_parsed_object_without_the_member(members in proptest::collection::btree_map("[a-e]|.*", values(), 0..5)) {
            let mut object: serde_json::Map<String, Value> = members.into_iter().collect();
            object.remove("code");
            let left = Value::from(object.clone()).to_string();
            object.insert("code".to_string(), "7f".into());
            let pretty = serde_json::to_string_pretty(&object).unwrap();
            prop_assert_eq!(without("code", &pretty), Some((left.into_bytes(), &b"7f"[..])));
        }

        #[test]
        fn any_text_is_survived(text in r#"[{}\[\],:" \\acode7é]{0,40}"#) {
            let _ = without("code", &text);
        }
    }
}
