//! The one place where names are exported.

/// What exported names start with: `selfattn_`, or, built with `--cfg selfattn_prefix`, what SELFATTN_PREFIX says.
#[cfg(not(selfattn_prefix))]
macro_rules! prefix {
    () => {
        "selfattn_"
    };
}
#[cfg(selfattn_prefix)]
macro_rules! prefix {
    () => {
        env!("SELFATTN_PREFIX")
    };
}

/// Exports functions to C. One without a result can fail: its body gives a `Result`, of which the caller gets the status, and
/// the last argument, added here, takes the details.
macro_rules! export {
    () => {};
    (fn $name:ident($($arg:ident: $type:ty),* $(,)?) $body:block $($rest:tt)*) => {
        #[unsafe(export_name = concat!(prefix!(), stringify!($name)))]
        pub unsafe extern "C" fn $name($($arg: $type,)* error: *mut $crate::capi::error::ErrorDetail) -> i32 {
            let call = || -> $crate::capi::fault::Result<()> { $body };
            // SAFETY: the header's word for `error`.
            unsafe { $crate::capi::error::report(error, call) }
        }
        export!($($rest)*);
    };
    (fn $name:ident($($arg:ident: $type:ty),* $(,)?) -> $out:ty $body:block $($rest:tt)*) => {
        #[unsafe(export_name = concat!(prefix!(), stringify!($name)))]
        pub unsafe extern "C" fn $name($($arg: $type),*) -> $out $body
        export!($($rest)*);
    };
}
