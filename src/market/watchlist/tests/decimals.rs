//! Tests of the number of decimals of an instrument. A price around 1 never changes it back and
//! forth.

use super::*;

fn at(list: &mut Watchlist, number: f64, now: Now) -> u8 {
    list.start_days(now, &US);
    let quote = streamed(Price::from_f64(number).unwrap(), now.utc, now);
    assert_eq!(list.value("ABCD", quote, now, &US), Outcome::Stored);
    list.instruments()[0].decimals()
}

#[test]
fn a_price_that_moves_around_1_does_not_change_the_number_of_decimals_back_and_forth() {
    let mut list = linked(&["ABCD"], tuesday("10:00:00"));
    let prices = [1.02, 1.01, 0.9987, 1.0, 0.99, 1.0125, 2.5, 0.5];
    let start = tuesday("10:00:00");
    let numbers: Vec<u8> = (0..)
        .zip(prices)
        .map(|(second, number)| at(&mut list, number, later(start, second)))
        .collect();
    assert_eq!(numbers, [2, 2, 4, 4, 4, 4, 4, 4]);
}

#[test]
fn a_new_trading_day_begins_with_the_decimals_of_the_last_price() {
    let tomorrow = later(tuesday("10:00:00"), 86_400);
    for (last, number) in [(1.25, 2), (0.1255, 4)] {
        let mut list = linked(&["ABCD"], tuesday("10:00:00"));
        at(&mut list, 0.0001, tuesday("10:00:00"));
        assert_eq!(at(&mut list, last, tuesday("10:00:01")), 4);
        list.start_days(tomorrow, &US);
        assert_eq!(list.instruments()[0].decimals(), number);
    }
}

#[test]
fn the_bars_of_the_day_restore_the_decimals_after_a_restart() {
    let now = tuesday("10:00:00");
    let mut list = linked(&["ABCD"], now);
    assert_eq!(at(&mut list, 1.05, now), 2);
    let low = Price::from_f64(0.9985).unwrap();
    let mut past = bar(1, Utc(now.utc.unwrap().0 - 120_000));
    (past.low, past.high) = (low, price(2));
    list.refill("ABCD", &[past], false);
    assert_eq!(list.instruments()[0].decimals(), 4);
}

#[test]
fn the_book_and_the_last_trade_count_for_the_decimals() {
    let now = tuesday("10:00:00");
    let name = "O:SPY261218C00650000";
    let mut list = linked(&[name], now);
    let cents = |hundredths: i64| Price::from_scaled(hundredths * 100);
    let book = TopOfBook {
        bid: cents(5),
        ask: cents(10),
        bid_size: 1,
        ask_size: 1,
    };
    list.book(
        name,
        book,
        streamed(book.mid().unwrap(), now.utc, now),
        now,
        &US,
    );
    assert_eq!(list.instruments()[0].decimals(), 3, "the middle is 0.075");
    let trade = Trade {
        price: Price::from_scaled(501),
        size: 1,
    };
    list.trade(name, trade, streamed(trade.price, now.utc, now), now);
    assert_eq!(list.instruments()[0].decimals(), 4);
}
