// How normalisations go through a picture: a workgroup has CHUNK_PIXELS of its pixels and TX vec4s of channels, an invocation
// every TYth pixel of one of them. Workgroups are (CHUNKS, vec4s of channels / TX, N).
override PIXELS: u32;      // of one picture
override C: u32;
override C4: u32;
override GROUPS: u32;
override CHUNKS: u32;
override CHUNK_PIXELS: u32;
override TX: u32;
override TY: u32;

// The group of a channel; those of the padding count to the last.
fn group_of(c: u32) -> u32 {
    return min(c, C - 1u) / (C / GROUPS);
}
