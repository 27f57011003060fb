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
    WindowTooWide "window-too-wide" "a packet older than the window is delivered, perhaps again";
    WindowBeforeAuthentication "window-before-authentication" "one forged datagram silences a session";
    FailedOpensUnlimited "failed-opens-unlimited" "forging may be tried without end under one key";
    CounterWraps "counter-wraps" "a nonce is used twice after 256 packets";
    SealWithoutLimit "seal-without-limit" "counters run out and nonces repeat";
    ControlNonceFixed "control-nonce-fixed" "all logins are sealed under one nonce";
    HeaderUnauthenticated "header-unauthenticated" "the code byte can be changed on the way";
    PaddingOff "padding-off" "the length of every packet shows";
    MessagePaddingOff "message-padding-off" "the length of a message tells what it is";
    ControlLengthUnchecked "control-length-unchecked" "short questions get long answers";
    PublishedKeyTaken "published-key-taken" "a tunnel can be set up with the key that everybody knows";
    OneControlKey "one-control-key" "control datagrams can be reflected to their sender";
    OneSessionKey "one-session-key" "both directions share key and nonces";
    MixUnused "mix-unused" "the pre-shared key protects nothing if OPAQUE is broken";
    SeedKept "seed-kept" "who reads the memory of a peer can draw all its past secrets once more";
    TranscriptUnused "transcript-unused" "a rekey can be altered without being noticed";
    ChainBroken "chain-broken" "whoever has one rekey secret has the keys, without those before";
    SecretUnused "secret-unused" "who has stolen one epoch has all later ones";
    SmallOrderTaken "small-order-taken" "a rekey can be led to keys that everybody knows";
    NeverRekey "never-rekey" "keys are used until they are refused";
    KeysForEver "keys-for-ever" "keys that are not renewed are good for ever";
    PreviousKeyForEver "previous-key-for-ever" "what was recorded opens with a key stolen long after";
    ServerSwitchesEarly "server-switches-early" "a lost answer to a rekey ends the session";
    RekeyAnsweredAnew "rekey-answered-anew" "a repeated request for keys leaves the sides with different ones";
    AnyCipherTaken "any-cipher-taken" "a server can make a client use a cipher that it did not ask for";
    RekeyOfAnyNumber "rekey-of-any-number" "a recorded request for keys is answered again";
    ContextWithoutIndices "context-without-indices" "a login can be bound to another session";
    ContextWithoutSuite "context-without-suite" "the cost of guessing can be lowered on the way";
    CookieWithoutAddress "cookie-without-address" "one cookie serves any number of forged addresses";
    CookieWithoutPort "cookie-without-port" "one cookie serves everybody behind one address";
    CookieWithoutIndex "cookie-without-index" "one cookie serves any number of logins";
    CookieForEver "cookie-for-ever" "a recorded login can be replayed for ever";
    NoCookieNeeded "no-cookie-needed" "forged addresses make the server work and send";
    Ke1AnsweredAnew "ke1-answered-anew" "a recorded login costs the server OPAQUE each time it is replayed";
    SpentCookieTaken "spent-cookie-taken" "a login that is over begins once more when it is replayed";
    SourcesUnlimited "sources-unlimited" "one sender with the key keeps the server busy";
    SourceSpentByAnybody "source-spent-by-anybody" "who forges an address keeps its owner from logging in";
    Ke1Unlimited "ke1-unlimited" "many senders with the key keep the server busy";
    HalfOpenUnlimited "half-open-unlimited" "logins that are never finished fill the memory";
    HalfOpenForEver "half-open-for-ever" "logins that are never finished lock a source out";
    DebitAtKe3 "debit-at-ke3" "passwords can be guessed without end by stopping at KE2";
    NoRefund "no-refund" "a user who logs in often is locked out";
    KnownSourcesForgotten "known-sources-forgotten" "anybody can lock a user out";
    UnknownRefusedEarly "unknown-refused-early" "it shows who has an account";
    DisabledRefusedEarly "disabled-refused-early" "it shows whose account is disabled";
    Ke3FromAnywhere "ke3-from-anywhere" "settings are sent to an address that has shown no cookie";
    BadKe3Unlimited "bad-ke3-unlimited" "one KE2 is good for any number of guesses";
    SettingsUnlimited "settings-unlimited" "a repeated KE3 is answered as often as it comes";
    AnyKe3AnsweredAgain "any-ke3-answered-again" "settings are sent again to who has not shown the password";
    ReplacedBeforeProof "replaced-before-proof" "anybody with the key ends the sessions of any user";
    MaxSessionsIgnored "max-sessions-ignored" "one account serves any number of people";
    ReservationsKept "reservations-kept" "an address that became somebody's for good is given to others";
    OldUsersSaved "old-users-saved" "a password stored at the wrong time undoes what an administrator changed";
    DisabledLetIn "disabled-let-in" "who has been shut out still gets in";
    ExpiredLetIn "expired-let-in" "an account is good beyond its last day";
    Ke2ForAnybody "ke2-for-anybody" "recorded answers to other logins make the client stretch";
    CandidatesUnlimited "candidates-unlimited" "forged answers exhaust the client with Argon2";
    CandidateForgotten "candidate-forgotten" "a forged answer makes a login fail if the honest one is quick";
    CandidateTriedAgain "candidate-tried-again" "one forged answer sent twice makes a login fail";
    CookieTakenAgain "cookie-taken-again" "recorded cookies make a login fail";
    RejectedAtOnce "rejected-at-once" "one forged answer makes a login fail";
    RoamBeforeAuthentication "roam-before-authentication" "one forged datagram diverts a session";
    RoamByLatePacket "roam-by-late-packet" "a packet held back diverts a session";
    RoamByOldEpoch "roam-by-old-epoch" "a packet of an earlier epoch diverts a session";
    NeverDead "never-dead" "a client stays with a server that is gone";
    AliveByForgery "alive-by-forgery" "forged datagrams keep a dead session";
    ByeUnauthenticated "bye-unauthenticated" "anybody who sees a session can end it";
    DataBeforeConfirmation "data-before-confirmation" "packets are sent to who has only repeated a login";
    SourceFilterOff "source-filter-off" "a client sends in the name of another";
    AsleepAwake "asleep-awake" "a client that sleeps still takes datagrams";
    SleepForgiven "sleep-forgiven" "old keys are used again after a long sleep";
    DuplicateKeysTaken "duplicate-keys-taken" "two readers see two messages in one";
    DepthUnlimited "depth-unlimited" "nested JSON exhausts the stack";
    VersionIgnored "version-ignored" "another version of the protocol is taken for this one";
}
