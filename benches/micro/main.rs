//! What single steps of delivery cost: `scripts/bench.sh micro`.

mod matching;
mod steps;

fn main() {
    divan::main();
}
