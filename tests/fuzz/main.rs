//! The fuzz targets, each for a moment: on the corpus, on what comes of it by small damage, and on noise.
//! scripts/fuzz.sh runs them for as long as asked, guided by coverage.

mod targets;

use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const ROUNDS: u64 = 20_000;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let files = std::fs::read_dir(folder).expect("a corpus");
    files.map(|file| std::fs::read(file.expect("a file").path()).expect("its content")).collect()
}

fn damaged(mut input: Vec<u8>, random: &mut StdRng) -> Vec<u8> {
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..input.len() + 1);
        match random.random_range(0..5) {
            0 => input.truncate(at),
            1 => input.insert(at, random.random()),
            2 if at < input.len() => drop(input.remove(at)),
            3 if at < input.len() => input[at] = b"<>&;\"'{}[]:,=%\0\\x"[random.random_range(0..17)],
            _ => input.extend_from_within(..at),
        }
    }
    input
}

#[test]
fn every_target_stands_what_strangers_send() {
    let mut random = StdRng::seed_from_u64(1);
    for (name, target) in targets::ALL {
        let corpus = corpus(name);
        assert!(!corpus.is_empty(), "{name}");
        corpus.iter().for_each(|input| target(input));
        for _ in 0..ROUNDS {
            let input = match corpus.get(random.random_range(0..corpus.len() + 1)) {
                Some(input) => damaged(input.clone(), &mut random),
                None => (0..random.random_range(0..100)).map(|_| random.random()).collect(),
            };
            target(&input);
        }
    }
}
