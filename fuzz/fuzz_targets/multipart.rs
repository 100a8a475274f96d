#![no_main]

#[allow(dead_code)] // one target of many
#[path = "../../tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::multipart(input));
