//! Tests of the demo: its first complete picture shows that its prices are simulated.
#![allow(clippy::unwrap_used)]

#[path = "support/views/mod.rs"]
mod views;

use std::time::Duration;

use deskticker::demo::simulated;
use deskticker::display::Mailbox;
use deskticker::render::{Frame, Size, WIDTH};
use deskticker::ticker::event_loop::{RunUntil, run};
use deskticker::time::Clock;
use tokio::sync::mpsc;

use views::{drawn, ordinary, walk};

/// The bytes of the badge DEMO, which stands before the link icon.
fn badge() -> Vec<u8> {
    let history = walk(2, 1.0);
    let mut view = ordinary(&history);
    view.simulated = true;
    let frame = drawn(&view, Size::Tall);
    let slot = &frame.page(0)[80..WIDTH - 9];
    let start = slot.iter().position(|byte| *byte == 0xFF).unwrap();
    let end = slot.iter().rposition(|byte| *byte == 0xFF).unwrap();
    slot[start..=end].to_vec()
}

async fn first_complete_picture() -> Box<Frame> {
    let (setup, _backstage) = simulated(Clock::system(), 20.0, Size::Tall).await.unwrap();
    let (_controls, receiver) = mpsc::channel(1);
    let slot = Mailbox::new(setup.size);
    let running = run(setup, slot.clone(), receiver, RunUntil::Complete);
    let complete = tokio::time::timeout(Duration::from_secs(20), running).await;
    assert!(complete.unwrap().unwrap());
    Box::new(slot.take(Duration::ZERO).unwrap())
}

#[tokio::test]
async fn the_first_complete_picture_of_a_demo_shows_the_demo_badge() {
    let badge = badge();
    // The first value comes either from REST or from the stream. The order is random, so the test
    // runs five times.
    for _ in 0..5 {
        let frame = first_complete_picture().await;
        let said = frame.page(0).windows(badge.len()).any(|at| at == badge);
        assert!(said, "{frame:?}");
    }
}
