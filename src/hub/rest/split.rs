//! The parts of a snapshot request that the vendor has refused as a whole. A separate request for
//! each part finds the ticker that the vendor refuses, so that the other tickers get their rows.
//! Pure: this module does no I/O.

use hyper::StatusCode;

use crate::market::{AssetClass, Symbol, Ticker};
use crate::net::http::RestError;

/// Returns the parts of a refused request. If the result has only one part, a further request
/// cannot find the refused ticker more exactly. `answered` returns true for a ticker that the
/// vendor has answered before.
pub(super) fn parts(
    batch: &[Ticker],
    refusal: &RestError,
    answered: impl Fn(&Ticker) -> bool,
) -> Vec<Vec<Ticker>> {
    let class = |ticker: &Ticker| Symbol::from_ticker(ticker).map(|symbol| symbol.class());
    let is_plan = refusal.status == Some(StatusCode::FORBIDDEN);
    if is_plan {
        // A plan includes or excludes a whole class of instruments.
        let classes = [AssetClass::Index, AssetClass::Equity, AssetClass::Option];
        let of = |wanted: AssetClass| {
            let tickers = batch.iter();
            let tickers = tickers.filter(|ticker| class(ticker) == Some(wanted));
            tickers.cloned().collect::<Vec<Ticker>>()
        };
        let parts = classes.map(of).into_iter();
        let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
        if parts.len() > 1 {
            return parts;
        }
    }
    let (known, new): (Vec<Ticker>, Vec<Ticker>) = batch.iter().cloned().partition(answered);
    let parts = if !known.is_empty() && !new.is_empty() {
        [known, new]
    } else if is_plan {
        [batch.to_vec(), Vec::new()]
    } else {
        let (first, second) = batch.split_at(batch.len() / 2);
        [first.to_vec(), second.to_vec()]
    };
    parts.into_iter().filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::failure::Failure;

    #[test]
    fn known_tickers_are_asked_apart_from_new_ones_and_new_ones_by_halves() {
        let split = |status: u16, batch: &[&str]| {
            let refusal = RestError {
                status: StatusCode::from_u16(status).ok(),
                ..RestError::from(Failure::Protocol)
            };
            let ticker = |text: &&str| Ticker::try_from(*text).unwrap();
            let batch: Vec<Ticker> = batch.iter().map(ticker).collect();
            let known = |ticker: &Ticker| ticker.starts_with('K');
            let parts = parts(&batch, &refusal, known);
            let texts = parts.iter().map(|part| part.join(","));
            texts.collect::<Vec<_>>()
        };
        assert_eq!(split(400, &["K", "A", "KB", "B"]), ["K,KB", "A,B"]);
        assert_eq!(split(400, &["A", "B", "C"]), ["A", "B,C"]);
        assert_eq!(split(400, &["K", "KB"]), ["K", "KB"]);
        assert_eq!(split(400, &["A"]), ["A"]);
        assert_eq!(split(403, &["A", "I:SPX", "B"]), ["I:SPX", "A,B"]);
        assert_eq!(split(403, &["A", "B"]), ["A,B"]);
        assert_eq!(split(403, &["A", "K", "B"]), ["K", "A,B"]);
    }
}
