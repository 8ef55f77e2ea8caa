//! What whisper.cpp can compute on: the processor, and the graphics cards that this program was built
//! for and finds.
#![expect(unsafe_code, reason = "whisper.cpp lists its devices through C only")]

use std::ffi::{CStr, c_char};
use std::fmt;

use whisper_rs::whisper_rs_sys as sys;

/// One device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// What it is called in its backend, such as `CUDA0`.
    pub name: String,
    /// What it is called by its maker.
    pub description: String,
    /// Whether it is a graphics card, built in or not.
    pub is_gpu: bool,
    /// Bytes of its memory that are free now.
    pub free_bytes: u64,
    /// Bytes of its memory.
    pub total_bytes: u64,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes >> 20;
        let Self { name, description, free_bytes, total_bytes, .. } = self;
        write!(f, "{name}: {description}, {} of {} MiB free", mib(*free_bytes), mib(*total_bytes))
    }
}

/// All devices. Those that are graphics cards are used in the order in which they stand here.
#[must_use]
pub fn devices() -> Vec<Device> {
    // SAFETY: counting the devices has no conditions.
    let count = unsafe { sys::ggml_backend_dev_count() };
    (0..count).filter_map(device).collect()
}

fn device(index: usize) -> Option<Device> {
    let (mut free, mut total) = (0, 0);
    // SAFETY: `index` is below the count, which never shrinks; a device lives as long as the process,
    // and so do its texts. `free` and `total` are written while they are borrowed.
    let (kind, name, description) = unsafe {
        let device = sys::ggml_backend_dev_get(index);
        if device.is_null() {
            return None;
        }
        sys::ggml_backend_dev_memory(device, &raw mut free, &raw mut total);
        (
            sys::ggml_backend_dev_type(device),
            text(sys::ggml_backend_dev_name(device)),
            text(sys::ggml_backend_dev_description(device)),
        )
    };
    let is_gpu = kind == sys::ggml_backend_dev_type_GGML_BACKEND_DEVICE_TYPE_GPU
        || kind == sys::ggml_backend_dev_type_GGML_BACKEND_DEVICE_TYPE_IGPU;
    let (free_bytes, total_bytes) = (free as u64, total as u64);
    Some(Device { name, description, is_gpu, free_bytes, total_bytes })
}

/// # Safety
/// `text` is null or a text that ends in a zero byte and stays while this runs.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: see above.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_processor_and_it_has_a_name() {
        let devices = devices();
        let processor = devices.iter().find(|device| !device.is_gpu).unwrap();
        assert!(!processor.name.is_empty(), "{processor}");
        let gpu =
            cfg!(any(feature = "cuda", feature = "hipblas", feature = "metal", feature = "vulkan"));
        assert!(gpu || devices.iter().all(|device| !device.is_gpu), "{devices:?}");
    }
}
