#![no_main]

use baobab_fuzz::readers;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    readers::directory(bytes);
});
