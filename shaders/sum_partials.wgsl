// Second half of every split sum: partials[0] + partials[1] + …, in that order, times SCALE, on top of what was there before.
// A partial result holds the parts of two totals, y and then z; z may be empty.

override ADD_Y: bool;      // whether before_y is added
override ADD_Z: bool;
//#runtime
override COUNT: u32;       // partial results
override Y4: u32;          // vec4s of y
override Z4: u32;          // vec4s of z
override SCALE: f32;
override GRID_X: u32;

@group(0) @binding(0) var<storage, read> partials: array<vec4f>;  // (COUNT, Y4 + Z4)
@group(0) @binding(1) var<storage, read> before_y: array<vec4f>;  // (Y4)
@group(0) @binding(2) var<storage, read> before_z: array<vec4f>;  // (Z4)
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;   // (Y4)
@group(0) @binding(4) var<storage, read_write> z: array<vec4f>;   // (Z4)

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let i = (group.x + group.y * GRID_X) * 64u + index;
    if i >= Y4 + Z4 {
        return;
    }
    var sum = vec4f();
    for (var p = 0u; p < COUNT; p++) {
        sum += partials[p * (Y4 + Z4) + i];
    }
    sum *= SCALE;
    if i < Y4 {
        if ADD_Y {
            sum += before_y[i];
        }
        y[i] = sum;
    } else {
        if ADD_Z {
            sum += before_z[i - Y4];
        }
        z[i - Y4] = sum;
    }
}
