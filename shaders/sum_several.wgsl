// Second halves of up to seven split sums at once, whose totals lie in one buffer. Sum number z of the grid adds its partial
// results in their order, as sum_partials.wgsl does for one of them; there, too, a partial result may hold the parts of two
// totals.

// Of each sum: COUNT partial results of LEN vec4s; the FIRST of these go to y[TO..], the others to y[THEN..].
//#runtime
override COUNT0: u32; override LEN0: u32; override FIRST0: u32; override TO0: u32; override THEN0: u32;
override COUNT1: u32; override LEN1: u32; override FIRST1: u32; override TO1: u32; override THEN1: u32;
override COUNT2: u32; override LEN2: u32; override FIRST2: u32; override TO2: u32; override THEN2: u32;
override COUNT3: u32; override LEN3: u32; override FIRST3: u32; override TO3: u32; override THEN3: u32;
override COUNT4: u32; override LEN4: u32; override FIRST4: u32; override TO4: u32; override THEN4: u32;
override COUNT5: u32; override LEN5: u32; override FIRST5: u32; override TO5: u32; override THEN5: u32;
override COUNT6: u32; override LEN6: u32; override FIRST6: u32; override TO6: u32; override THEN6: u32;
override GRID_X: u32;

@group(0) @binding(0) var<storage, read> partials0: array<vec4f>; // (COUNT0, LEN0)
@group(0) @binding(1) var<storage, read> partials1: array<vec4f>; // (COUNT1, LEN1)
@group(0) @binding(2) var<storage, read> partials2: array<vec4f>; // (COUNT2, LEN2)
@group(0) @binding(3) var<storage, read> partials3: array<vec4f>; // (COUNT3, LEN3)
@group(0) @binding(4) var<storage, read> partials4: array<vec4f>; // (COUNT4, LEN4)
@group(0) @binding(5) var<storage, read> partials5: array<vec4f>; // (COUNT5, LEN5)
@group(0) @binding(6) var<storage, read> partials6: array<vec4f>; // (COUNT6, LEN6)
@group(0) @binding(7) var<storage, read_write> y: array<vec4f>;

fn sum0(at: u32) {
    if at >= LEN0 {
        return;
    }
    var sum = vec4f();
    for (var p = 0u; p < COUNT0; p++) {
        sum += partials0[p * LEN0 + at];
    }
    y[select(THEN0 + at - FIRST0, TO0 + at, at < FIRST0)] = sum;
}

fn sum1(at: u32) {
    if at >= LEN1 {
        return;
    }
    var sum = vec4f();
    for (var p = 0u; p < COUNT1; p++) {
        sum += partials1[p * LEN1 + at];
    }
    y[select(THEN1 + at - FIRST1, TO1 + at, at < FIRST1)] = sum;
}

fn sum2(at: u32) {
    if at >= LEN2 {
        return;
    }
    var sum = vec4f();
    for (var p = 0u; p < COUNT2; p++) {
        sum += partials2[p * LEN2 + at];
    }
    y[select(THEN2 + at - FIRST2, TO2 + at, at < FIRST2)] = sum;
}

fn sum3(at: u32) {
    if at >= LEN3 {
        return;
    }
    var sum = vec4f();
    for (var p = 0u; p < COUNT3; p++) {
        sum += partials3[p * LEN3 + at];
    }
    y[select(THEN3 + at - FIRST3, TO3 + at, at < FIRST3)] = sum;
}

fn sum4(at: u32) {
    if at >= LEN4 {
        return;
    }
    var sum = vec4f();
    for (var p = 0u; p < COUNT4; p++) {
        sum += partials4[p * LEN4 + at];
    }
    y[select(THEN4 + at - FIRST4, TO4 + at, at < FIRST4)] = sum;
}

fn sum5(at: u32) {
    if at >= LEN5 {
        return;
    }
    var sum = vec4f();
    for (var p = 0u; p < COUNT5; p++) {
        sum += partials5[p * LEN5 + at];
    }
    y[select(THEN5 + at - FIRST5, TO5 + at, at < FIRST5)] = sum;
}

fn sum6(at: u32) {
    if at >= LEN6 {
        return;
    }
    var sum = vec4f();
    for (var p = 0u; p < COUNT6; p++) {
        sum += partials6[p * LEN6 + at];
    }
    y[select(THEN6 + at - FIRST6, TO6 + at, at < FIRST6)] = sum;
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) index: u32, @builtin(workgroup_id) group: vec3u) {
    let at = (group.x + group.y * GRID_X) * 64u + index;
    switch group.z {
        case 0u: { sum0(at); }
        case 1u: { sum1(at); }
        case 2u: { sum2(at); }
        case 3u: { sum3(at); }
        case 4u: { sum4(at); }
        case 5u: { sum5(at); }
        default: { sum6(at); }
    }
}
