//! Tests of the cost of the large events of the display on the I2C bus.
#![allow(clippy::unwrap_used)]

#[path = "support/bus_bytes.rs"]
mod bus_bytes;
#[path = "support/i2c_display/mod.rs"]
mod i2c_display;
#[path = "support/views/mod.rs"]
mod views;

#[test]
fn each_large_event_costs_few_bytes_on_the_bus() {
    let events = bus_bytes::events();
    let dear = events.iter().filter(|(_, limit, bytes)| bytes > limit);
    assert_eq!(dear.count(), 0, "{events:?}");
}
