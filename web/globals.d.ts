// Flags of WebGPU that TypeScript's own library does not declare.
declare const GPUBufferUsage: Record<'MAP_READ' | 'COPY_SRC' | 'COPY_DST' | 'STORAGE' | 'UNIFORM', number>;
declare const GPUMapMode: Record<'READ', number>;
