//! Room in collections of which there are very many, most of them with one or two things in.

/// So many are few.
const FEW: usize = 4;

/// Makes room for one more, and for no more than that while there are few.
pub fn for_one<T>(vec: &mut Vec<T>) {
    if vec.len() < FEW {
        vec.reserve_exact(1);
    }
}
