//! Variants of kernels: what is changed in the text of a file for the precision of its bindings and for cooperative matrices.

use super::{KernelId, with_imports};
use crate::limits::Matrices;

/// The text of a variant that is not shared.
///
/// # Panics
/// If the file does not have what the variant changes: a mistake of ours.
pub(super) fn text(id: KernelId) -> String {
    let mut source = with_imports(id.shader, id.shader.text());
    let replace = |source: &mut String, from: &str, to: &str| {
        assert!(source.contains(from), "{id}: its file has no `{from}`");
        *source = source.replace(from, to);
    };
    for half in id.names(id.halves) {
        // The text has an alias for the elements of what can be in half precision: `alias x_t = vec4f;`.
        let alias = |element: &str| format!("alias {half}_t = {element};");
        let (float, short) = if source.contains(&alias("f32")) { ("f32", "f16") } else { ("vec4f", "vec4<f16>") };
        replace(&mut source, &alias(float), &alias(short));
    }
    for of in id.names(id.pairs) {
        // Two loads from one place of 16 bytes are one to compilers for GPUs; two that follow each other may not be.
        replace(&mut source, &format!("{of}: array<{of}_t>"), &format!("{of}: array<{of}_pair>"));
        replace(&mut source, &format!("{of}[at]"), &format!("{of}[at / 2u].first"));
        replace(&mut source, &format!("{of}[at + 1u]"), &format!("{of}[at / 2u].second"));
        source += &format!("\nstruct {of}_pair {{ @align(16) first: {of}_t, second: {of}_t }}");
    }
    let (Matrices { side, wide, scalars }, file) = (id.matrices, Matrices::default());
    if side != file.side {
        replace(&mut source, &format!("const SIDE = {}u;", file.side), &format!("const SIDE = {side}u;"));
        replace(&mut source, &format!("coop_mat{0}x{0}", file.side), &format!("coop_mat{side}x{side}"));
    }
    if scalars {
        let text = |name| with_imports(id.shader, &format!("//#import {name}"));
        replace(&mut source, &text("fragments"), &text("scalar_fragments"));
    }
    if wide {
        replace(&mut source, "alias operand = f16;", "alias operand = f32;");
        replace(&mut source, "const KB = 8u;", &format!("const KB = {}u;", id.matrices.inner4()));
    }
    if id.halves != 0 {
        source.insert_str(0, "enable f16;\n");
    }
    source
}
