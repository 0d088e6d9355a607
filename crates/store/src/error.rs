/// What can go wrong below a transaction. Messages say what to do; none carries a parameter value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The text names no place where data can live.
    #[error("`{text}` is no storage location: write sqlite:PATH or postgres://USER@HOST/DATABASE[?schema=NAME]")]
    Location {
        /// The text as given, shortened, without its password.
        text: String,
    },
    /// The engine cannot be reached or refuses us now. Nothing was stored; trying again later is right.
    #[error("the database cannot be reached ({reason}): nothing was stored, try again")]
    Unavailable {
        /// What the engine said.
        reason: String,
    },
    /// The connection broke while the commit was under way. Whether it took place is unknown: ask before repeating.
    #[error("the connection broke during the commit ({reason}): read back before you repeat")]
    OutcomeUnknown {
        /// What the engine said.
        reason: String,
    },
    /// No room is left for the write. Nothing was stored.
    #[error("the disk of the database is full ({reason}): nothing was stored, free space and try again")]
    Full {
        /// What the engine said.
        reason: String,
    },
    /// A write or sync failed below us: what is on disk is uncertain, so this store refuses further writes.
    #[error("the disk failed under the database ({reason}): restart after checking the disk; writes are refused")]
    Broken {
        /// What the engine said.
        reason: String,
    },
    /// Too many concurrent changes of the same rows, even after retries.
    #[error("`{name}` gave way to concurrent changes {attempts} times: try again")]
    Contention {
        /// The transaction.
        name: &'static str,
        /// How often it was run.
        attempts: u32,
    },
    /// A row with this key exists.
    #[error("a row with this key exists ({reason}): use ON CONFLICT where that is expected")]
    Unique {
        /// Which key, in the words of the engine.
        reason: String,
    },
    /// A rule of the table refuses the row.
    #[error("the table refuses the row ({reason})")]
    Constraint {
        /// Which rule, in the words of the engine.
        reason: String,
    },
    /// The statement is wrong: a defect of the program.
    #[error("the statement `{statement}` is refused ({reason})")]
    Statement {
        /// The statement, shortened; parameters are never shown.
        statement: String,
        /// What the engine said.
        reason: String,
    },
    /// The transaction went on after a failed statement; it was rolled back.
    #[error("the transaction went on after a failed statement and was rolled back: {first}")]
    FailedBefore {
        /// The first failure.
        first: String,
    },
    /// A column is missing or holds another kind of value.
    #[error("column `{column}`: {reason}")]
    Column {
        /// The column.
        column: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A migration does not fit the database.
    #[error("migration {room} {number:04}: {reason}")]
    Migration {
        /// The room it belongs to.
        room: String,
        /// Its number.
        number: u32,
        /// What is wrong.
        reason: String,
    },
    /// A sealed value does not open: altered, moved to another place, or sealed by an unknown key.
    #[error("the sealed value of {table}.{column} does not open here: altered, moved, or sealed by an unknown key")]
    Sealed {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The value cannot be sealed: too long, or the key ring is empty.
    #[error("the value cannot be sealed ({reason})")]
    Unsealable {
        /// What the sealing key said.
        reason: String,
    },
    /// More jobs wait than the store accepts.
    #[error("{waiting} jobs wait for the database already: slow down and try again")]
    Overloaded {
        /// How many wait.
        waiting: usize,
    },
    /// The closure of the transaction panicked; it was rolled back.
    #[error("the transaction `{name}` panicked and was rolled back")]
    Panicked {
        /// The transaction.
        name: &'static str,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the same call may succeed later without a change of the program.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Full { .. } | Self::Contention { .. } | Self::Overloaded { .. })
    }
}

/// At most 200 characters of a statement, for an error message.
pub(crate) fn shorten(statement: &str) -> String {
    statement.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(200).collect()
}
