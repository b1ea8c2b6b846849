// One invocation for every vec4 of a result: the kernel's element(p, c) makes vec4 c of pixel p.
//#runtime
override PIXELS: u32;      // of the result
override C4: u32;          // vec4s of its channels
override GRID_X: u32;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i < PIXELS * C4 {
        element(i / C4, i % C4);
    }
}
