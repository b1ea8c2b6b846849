// The pipeline of tiled products: while a stage of the inner dimension is multiplied from one half of workgroup memory, the next
// one is loaded, and then written to the other. The kernel's fetch() starts its loads, put(half) writes them,
// multiply_stage(half) multiplies, and advance() counts on to the next stage; half_size() is where the second half begins.

// The whole product, over so many inner elements, `stage` at a time. What is fetched beyond the last stage is not used.
fn multiply_all(inners: u32, stage: u32) {
    var full = 0u;              // the half that is multiplied
    var free = half_size();     // and the one that is written
    fetch();
    put(full);
    workgroupBarrier();
    for (var start = 0u; start < inners; start += stage) {
        advance();
        fetch();
        multiply_stage(full);
        put(free);
        workgroupBarrier();
        full = half_size() - full;
        free = half_size() - free;
    }
}
