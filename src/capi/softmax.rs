use super::engine::{Engine, Runs};
use super::matrix::{MatMut, RawMatMut};

export! {
    fn softmax(engine: *const Engine, x: *const MatMut) {
        // SAFETY: the header's word for both; nothing else is written or read.
        let (runs, x) = unsafe { (Runs::read(engine)?, RawMatMut::new("x", x)?.view()?) };
        runs.engine().softmax(x);
        Ok(())
    }
}
