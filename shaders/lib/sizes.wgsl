// Pixels before and after what changes their number: H x W of a picture, OH x OW of its windows or squares of KERNEL x KERNEL, or
// of what it is enlarged to. A gradient, and fold.wgsl, go back.
override KERNEL: u32;
//#runtime
override H: u32;
override W: u32;
override OH: u32;
override OW: u32;
