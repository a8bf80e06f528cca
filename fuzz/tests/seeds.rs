//! Every seed through its target, without a fuzzer: on any toolchain.

use std::fs;
use std::path::Path;

use selfattn_fuzz::TARGETS;

#[test]
fn no_seed_is_a_finding() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    for (target, run) in TARGETS {
        let mut count = 0;
        for entry in fs::read_dir(seeds.join(target)).unwrap() {
            run(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "no seeds of {target}");
    }
    assert_eq!(fs::read_dir(seeds).unwrap().count(), TARGETS.len(), "seeds of no target");
}
