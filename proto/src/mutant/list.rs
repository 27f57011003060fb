//! The list of planted bugs. `cargo xtask mutants` reads this very file, so that neither knows one more than the other.

/// Declares the bugs: for each its name on the command line, and what it would mean for people.
macro_rules! mutants {
    ($($mutant:ident $name:literal $meaning:literal;)*) => {
        /// A bug that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Mutant {
            $(#[doc = $meaning] $mutant,)*
        }

        impl Mutant {
            /// All of them, in the order of the matrix.
            pub(crate) const ALL: &[Self] = &[$(Self::$mutant),*];

            /// Its name, in kebab case.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$mutant => $name,)*
                }
            }

            /// What would be true if it were there.
            pub(crate) const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$mutant => $meaning,)*
                }
            }
        }
    };
}

mutants! {
    AcceptReplay "accept-replay" "a recorded packet is delivered once more";
    PaddingOff "padding-off" "the length of every packet shows";
    NoCookieNeeded "no-cookie-needed" "forged addresses make the server work and send";
}
