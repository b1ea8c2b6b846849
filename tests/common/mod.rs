//! What several tests share.

use n2n_gpu::device::Device;
use n2n_gpu::gpu::{self, Gpu};

/// All adapters of this machine. None is a failure, unless N2N_NO_ADAPTER says that there is none.
pub fn adapters() -> Vec<Device> {
    let found: Vec<_> = (0..gpu::adapters().len()).map(|i| Device::Gpu(Gpu::open(i).unwrap())).collect();
    let none = std::env::var_os("N2N_NO_ADAPTER").is_some();
    assert!(
        none || !found.is_empty(),
        "no adapter: install a Vulkan driver (Debian: mesa-vulkan-drivers), or set N2N_NO_ADAPTER=1"
    );
    found
}
