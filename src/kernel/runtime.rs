//! Shared variants of kernels. A kernel is compiled anew for every set of constants, which makes it fast; but where compiling
//! takes longer than running, as on software adapters, constants that size no workgroup (sizes of pictures, windows, flags) are
//! better read at run time, so that many dispatches share a pipeline. Files mark them by a line `//#runtime` before their
//! declarations.

use std::fmt::Write;

/// The line before declarations of constants that shared variants read at run time.
pub(super) const MARK: &str = "//#runtime";

/// A constant that a shared variant reads at run time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuntimeConstant {
    /// Its name.
    pub name: String,
    kind: Kind,
}

/// WGSL's types of constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    U32,
    F32,
    Bool,
}

impl RuntimeConstant {
    /// A value of it as the kernel reads it.
    pub fn word(&self, value: f64) -> u32 {
        match self.kind {
            Kind::F32 => (value as f32).to_bits(),
            Kind::U32 => value as u32,
            Kind::Bool => u32::from(value != 0.0),
        }
    }
}

/// A kernel's text in which marked constants are members of a struct in a uniform buffer, binding number `binding`; and these
/// constants, in the order of the members. They are read there wherever they are named, as what branches with barriers depend on
/// must be uniform.
pub(super) fn shared(text: &str, binding: usize) -> (String, Vec<RuntimeConstant>) {
    let mut constants: Vec<RuntimeConstant> = Vec::new();
    let mut others = Vec::new();
    let mut marked = false;
    for line in text.lines() {
        marked = line == MARK || marked && line.starts_with("override ");
        if line == MARK {
            continue;
        }
        if marked {
            // Several in a line may be declared.
            constants.extend(code_of(line).split_terminator(';').filter_map(declared));
        } else {
            others.push(line);
        }
    }
    let mut shared = String::new();
    for line in others {
        let code = code_of(line);
        shared += &with_members(code, &constants);
        shared += &line[code.len()..];
        shared.push('\n');
    }
    shared += "\nstruct Runtime {\n";
    for RuntimeConstant { name, kind } in &constants {
        // Buffers have no bool.
        let _ = writeln!(shared, "    {name}: {},", if *kind == Kind::F32 { "f32" } else { "u32" });
    }
    let _ = writeln!(shared, "}}\n@group(0) @binding({binding}) var<uniform> runtime: Runtime;");
    (shared, constants)
}

/// A line without its comment.
fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// The constant that `override NAME: TYPE` declares.
fn declared(declaration: &str) -> Option<RuntimeConstant> {
    let (name, kind) = declaration.trim().strip_prefix("override ")?.split_once(": ")?;
    let kind = match kind {
        "f32" => Kind::F32,
        "bool" => Kind::Bool,
        "u32" => Kind::U32,
        _ => panic!("a constant that is read at run time is a u32, f32 or bool: {declaration}"),
    };
    Some(RuntimeConstant { name: name.to_owned(), kind })
}

/// Code with `runtime.NAME`, or what that is as a bool, for every constant that it names.
fn with_members(code: &str, constants: &[RuntimeConstant]) -> String {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut text = String::new();
    let mut rest = code;
    while let Some(start) = rest.find(is_word) {
        let (before, from) = rest.split_at(start);
        let (word, after) = from.split_at(from.find(|c| !is_word(c)).unwrap_or(from.len()));
        text += before;
        match constants.iter().find(|c| c.name == word).filter(|_| !before.ends_with('.')) {
            Some(RuntimeConstant { kind: Kind::Bool, .. }) => text += &format!("(runtime.{word} != 0u)"),
            Some(_) => text += &format!("runtime.{word}"),
            None => text += word,
        }
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marked_constants_become_members_wherever_they_are_named() {
        let text = "override A: u32;\n//#runtime\noverride N: u32; override S: f32;  // of N\noverride YES: bool;\n\
                    let x = NN + v.N * N; // N\nif !YES {}\noverride B: u32;";
        let (text, constants) = shared(text, 3);
        assert!(
            text.starts_with("override A: u32;\nlet x = NN + v.N * runtime.N; // N\nif !(runtime.YES != 0u) {}\noverride B: u32;\n\nstruct Runtime"),
            "{text}"
        );
        assert!(
            text.ends_with("    N: u32,\n    S: f32,\n    YES: u32,\n}\n@group(0) @binding(3) var<uniform> runtime: Runtime;\n"),
            "{text}"
        );
        let words: Vec<u32> = constants.iter().map(|c| c.word(2.0)).collect();
        assert_eq!(words, [2, 2.0_f32.to_bits(), 1]);
    }
}
