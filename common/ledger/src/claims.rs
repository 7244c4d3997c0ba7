//! Claims, measured values and the verdicts computed from the two.
//!
//! - `claims.csv` of an experiment holds what was published ([`Claim`], [`read_claims`]).
//! - `<results>/<experiment>/<preset>/<study>/measured.csv` holds what a study measured
//!   ([`Measured`], [`read_measured`], [`write_measured`]).
//! - `<results>/ledger.csv` sets the two side by side, with a verdict nobody typed ([`build_ledger`],
//!   [`write_ledger`], [`verify_ledger`]).
//!
//! Two conventions go beyond the columns' names. `claims.csv` has a last column `needs`: what has to be
//! there before a study can measure the claim at its published scale, as words separated by spaces (see
//! [`Need`]). And a row whose `confidence` is `extra` is a measurement of our own that nobody published:
//! its `op` is `sign`, its `published` is empty, and its verdict is always `extra`.
//!
//! In `measured.csv` and `ledger.csv` a value that is a bound carries its sign: `>=5.2`.

mod build;
mod claim;
mod judge;
mod ledger;
mod measured;
mod table;

pub use build::{Difference, build_ledger, verify_ledger};
pub use claim::{Claim, Need, Op, parse_claims, read_claims};
pub use judge::{Judgement, TREND_SEEDS, Verdict, headline, judge};
pub(crate) use judge::{changed, rank_of_preset};
pub use ledger::{LedgerRow, Published, Summary, read_ledger, summarise, write_ledger};
pub use measured::{Measured, read_measured, write_measured};
pub use table::ClaimsError;
