//! What the loop of multiply-adds says it has done. How fast it is is for benchmarks.

mod common;

use common::every_level;
use selfattn::roof;

#[test]
fn multiply_adds_are_counted_as_two_operations_a_lane() {
    every_level(|engine| {
        let (one, lanes) = (roof::multiply_add(&engine, 1), engine.level().lanes() as u64);
        assert!(one.is_multiple_of(2 * lanes), "{} {one}", engine.level());
        // Fewer chains than that wait for each other: 4 cycles, two at a time.
        assert!(one >= 2 * lanes * 8, "{} {one}", engine.level());
        assert_eq!(roof::multiply_add(&engine, 7), 7 * one, "{}", engine.level());
        assert_eq!(roof::multiply_add(&engine, 0), 0);
    });
}
