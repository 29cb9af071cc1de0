//! What was made from what, drawn.

use std::collections::{HashMap, HashSet};

use crate::lifecycle::listing::Listed;

/// Returns the environments as trees, each below what it was made from; one whose origin is gone or not
/// among them stands at the margin with its origin named.
pub fn draw(listed: &[Listed]) -> String {
    let known: HashSet<&str> = listed.iter().filter_map(|e| e.uuid.as_deref()).collect();
    let mut children: HashMap<&str, Vec<&Listed>> = HashMap::new();
    let mut tops = Vec::new();
    for env in listed {
        match &env.origin {
            Some(origin)
                if known.contains(origin.uuid.as_str())
                    && env.uuid.as_deref() != Some(&origin.uuid) =>
            {
                children.entry(origin.uuid.as_str()).or_default().push(env);
            }
            _ => tops.push(env),
        }
    }
    let mut text = String::new();
    let mut drawn = HashSet::new();
    for top in tops {
        line(&mut text, "", top, top.origin.is_some());
        below(&mut text, "", top, &children, &mut drawn);
    }
    // Records that name each other as origin stand in no tree; they are listed all the same.
    for env in listed {
        if env.uuid.as_deref().is_some_and(|u| !drawn.contains(u))
            && env
                .origin
                .as_ref()
                .is_some_and(|o| known.contains(o.uuid.as_str()))
            && !text.contains(&format!("{}/{}", env.node, env.name))
        {
            line(&mut text, "", env, true);
        }
    }
    text
}

fn below<'a>(
    text: &mut String,
    indent: &str,
    of: &'a Listed,
    children: &HashMap<&str, Vec<&'a Listed>>,
    drawn: &mut HashSet<&'a str>,
) {
    let Some(uuid) = of.uuid.as_deref() else {
        return;
    };
    if !drawn.insert(uuid) {
        return;
    }
    let Some(made) = children.get(uuid) else {
        return;
    };
    for (i, child) in made.iter().enumerate() {
        let last = i + 1 == made.len();
        line(
            text,
            &format!("{indent}{}", if last { "└─ " } else { "├─ " }),
            child,
            false,
        );
        let deeper = format!("{indent}{}", if last { "   " } else { "│  " });
        below(text, &deeper, child, children, drawn);
    }
}

fn line(text: &mut String, indent: &str, env: &Listed, name_origin: bool) {
    text.push_str(&format!("{indent}{}/{}", env.node, env.name));
    let flags = env.flags();
    if !flags.is_empty() {
        text.push_str(&format!("  {flags}"));
    }
    if name_origin && let Some(origin) = &env.origin {
        text.push_str(&super::clean(&format!(
            "  (from {}/{})",
            origin.node, origin.name
        )));
    }
    text.push('\n');
}
