//! Describes a [`View`] in words, for a demo on a terminal. This module judges nothing: the view
//! contains all states.

use super::layouts::link_status;
use super::parts::badge::age;
use super::{InstrumentView, LinkIcon, LinkReport, PageView, View};
use crate::market::{Denial, Freshness};

/// Returns the content of a view in words: one entry for each instrument, and one for the
/// connection.
pub fn words(view: &View<'_>) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(alert) = view.alert {
        words.push(format!("ALERT: {} has crossed its threshold", alert.label));
    }
    match &view.page {
        PageView::Pair(first, second) => {
            words.push(instrument(view, first));
            words.extend(second.iter().map(|second| instrument(view, second)));
        }
        PageView::Big(line, ..) => words.push(instrument(view, line)),
        PageView::Contract(sheet) => words.push(instrument(view, &sheet.line)),
        PageView::Link(report) => words.push(link(view, report)),
        PageView::Notice { title, text } => words.push(format!("{title}: {text}")),
        PageView::Join { text, .. } => words.push((*text).to_owned()),
        PageView::Empty => words.push("the watchlist is empty".to_owned()),
    }
    words.push(match view.sign {
        LinkIcon::Live => "connection: live (bars)".to_owned(),
        LinkIcon::Joining => "connection: joining (ring)".to_owned(),
        LinkIcon::Silent => "connection: silent (flat line)".to_owned(),
        LinkIcon::Down => "connection: down (crossed box)".to_owned(),
        LinkIcon::Refused => "connection: refused (no entry)".to_owned(),
    });
    words
}

fn instrument(view: &View<'_>, line: &InstrumentView<'_>) -> String {
    let label = line.label;
    let Some(price) = line.shown_price() else {
        return match line.denial {
            Some(Denial::NotEntitled) => format!("{label} --- NO ACCESS"),
            Some(_) => format!("{label} --- NOT FOUND"),
            None => format!("{label} --- no value yet"),
        };
    };
    let numbers = view.format.numbers;
    let (whole, fraction) = price.parts(line.decimals, numbers);
    let mut text = format!("{label} {whole}{fraction}");
    if let Some(change) = line.shown_percent(numbers) {
        text.push_str(&format!(" {}", change.full));
    }
    match line.freshness {
        _ if line.expired => text.push_str(", struck out: EXPIRED"),
        Freshness::Live => text.push_str(line.shown_part().unwrap_or(", live")),
        Freshness::Stale(old) => text.push_str(&format!(", struck out: {} old", age(old))),
        Freshness::Delayed => text.push_str(", DELAYED"),
        Freshness::Closed => text.push_str(", CLOSED"),
        Freshness::None => {}
    }
    text
}

fn link(view: &View<'_>, report: &LinkReport) -> String {
    let (state, since) = link_status::word(report, view.sign);
    let mut text = format!("page of the connection: {state}");
    if let Some(since) = since {
        text.push_str(&format!(" for {}", age(since)));
    }
    if let Some((name, off)) = link_status::clock_fault(report, view.format.numbers) {
        text.push_str(&format!(", {name} {off}"));
    }
    text
}
