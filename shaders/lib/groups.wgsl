// Makes what a workgroup needs of the groups that its channels belong to: the kernel's channel(n, c) tells it of a channel,
// merge(..) of a group's channels, and whole(..) of all pixels. Workgroup memory holds AT_ONCE groups of PIECE channels, so that
// it does not grow with the channels. To be imported below all overrides.
var<workgroup> of_channel: array<vec2f, AT_ONCE * PIECE>;
var<workgroup> of_group: array<vec2f, 4 * TX>; // from the group of the workgroup's first channel on

fn make_groups(n: u32, block: u32, index: u32) {
    let cg = C / GROUPS;
    let first = group_of(block * TX * 4u);
    let last = group_of(block * TX * 4u + TX * 4u - 1u);
    for (var start = first; start <= last; start += AT_ONCE) {
        let count = min(AT_ONCE, last + 1u - start);
        for (var piece = 0u; piece < cg; piece += PIECE) {
            let size = min(PIECE, cg - piece);
            for (var i = index; i < count * size; i += TX * TY) {
                of_channel[i] = channel(n, (start + i / size) * cg + piece + i % size);
            }
            workgroupBarrier();
            for (var g = index; g < count; g += TX * TY) {
                let at = start - first + g;
                of_group[at] = merge(select(vec2f(), of_group[at], piece > 0u), piece, g * size, size);
            }
            workgroupBarrier();
        }
    }
    for (var g = index; first + g <= last; g += TX * TY) {
        of_group[g] = whole(of_group[g], f32(PIXELS) * f32(cg));
    }
    workgroupBarrier();
}

// Of the groups of four channels.
fn of_four(c4: u32, block: u32) -> mat4x2f {
    let first = group_of(block * TX * 4u);
    let c = c4 * 4u;
    return mat4x2f(
        of_group[group_of(c) - first],
        of_group[group_of(c + 1u) - first],
        of_group[group_of(c + 2u) - first],
        of_group[group_of(c + 3u) - first],
    );
}
