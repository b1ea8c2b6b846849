// Shapes of a convolution: x is its large side, y its small one.
//#runtime
override KERNEL: u32;
override STRIDE: u32;
override PADDING: u32;
override N: u32;           // pictures
override H: u32;           // height of x or dx
override W: u32;           // width of x or dx
override OH: u32;          // height of y or dy
override OW: u32;          // width of y or dy
override C4: u32;          // channels of x / 4
override K4: u32;          // channels of y / 4
override X_STRIDE4: u32;   // vec4s from a pixel of x to the next
override X_CHANNEL4: u32;  // first vec4 of a pixel of x
override Y_STRIDE4: u32;
override Y_CHANNEL4: u32;

// Row of the windows of pixels that do not exist: no tap brings it into a picture.
const NOWHERE = -0x1000000;
