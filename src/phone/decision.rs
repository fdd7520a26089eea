//! Decides when the Pi opens a Wi-Fi network of its own for the set-up by phone, and when it closes
//! the network. Pure: the time and all events are arguments.

use std::time::Duration;

use crate::time::Moment;

/// The time without a network after which the Pi opens its own network.
const OPEN_AFTER: Duration = Duration::from_secs(120);
/// The time in which a Wi-Fi network must connect after the Pi has closed its own network.
const CONNECT_LIMIT: Duration = Duration::from_secs(90);
/// The time without a request of a phone after which the Pi tries its stored Wi-Fi network again.
/// The radio cannot do both at the same time, and a router may start later than the Pi.
const UNUSED_LIMIT: Duration = Duration::from_secs(600);

/// A step that the decision requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Open the Pi's own network. `failed` is true if the Pi could not connect to the Wi-Fi network
    /// from the phone.
    Open {
        /// True if the last settings from the phone did not work.
        failed: bool,
    },
    /// Close the Pi's own network, and let the Wi-Fi connect.
    Close,
}

/// The network access of this machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Access {
    /// True if an interface has an address in a network that is not the Pi's own: by cable or by
    /// Wi-Fi.
    pub connected: bool,
    /// True if a Wi-Fi network is stored, to which the machine may connect later.
    pub stored: bool,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Connected,
    /// The machine has no network since this time.
    Waiting(Moment),
    /// The Pi's own network is open. The time is the last request of a phone, or the opening.
    Open(Moment),
    /// The Pi has closed its own network at this time and waits for a connection. The flag is true
    /// if a phone has sent new settings.
    Trying(Moment, bool),
}

/// The state of the set-up by phone.
#[derive(Debug)]
pub struct Decision {
    phase: Phase,
}

impl Decision {
    /// Starts without a network, at the start of the machine.
    pub fn new(now: Moment) -> Self {
        Self {
            phase: Phase::Waiting(now),
        }
    }

    /// Takes the current network access, and returns the next step, if there is one.
    pub fn observe(&mut self, now: Moment, access: Access) -> Option<Step> {
        let (phase, step) = match self.phase {
            Phase::Open(_) if access.connected => (Phase::Connected, Some(Step::Close)),
            _ if access.connected => (Phase::Connected, None),
            Phase::Connected => (Phase::Waiting(now), None),
            Phase::Waiting(since) if now.since(since) >= OPEN_AFTER => {
                (Phase::Open(now), Some(Step::Open { failed: false }))
            }
            Phase::Open(used) if access.stored && now.since(used) >= UNUSED_LIMIT => {
                (Phase::Trying(now, false), Some(Step::Close))
            }
            Phase::Trying(since, failed) if now.since(since) >= CONNECT_LIMIT => {
                (Phase::Open(now), Some(Step::Open { failed }))
            }
            phase => (phase, None),
        };
        self.phase = phase;
        step
    }

    /// A phone has requested the page.
    pub fn visited(&mut self, now: Moment) {
        if let Phase::Open(used) = &mut self.phase {
            *used = now;
        }
    }

    /// A phone has sent valid settings, and they are stored.
    pub fn submitted(&mut self, now: Moment) -> Option<Step> {
        let open = matches!(self.phase, Phase::Open(_));
        open.then(|| {
            self.phase = Phase::Trying(now, true);
            Step::Close
        })
    }

    /// The network could not be opened. The Pi waits, and then tries again.
    pub fn not_opened(&mut self, now: Moment) {
        self.phase = Phase::Waiting(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Access = Access {
        connected: false,
        stored: true,
    };
    const CONNECTED: Access = Access {
        connected: true,
        stored: true,
    };
    const OPEN: Option<Step> = Some(Step::Open { failed: false });

    fn at(secs: u64) -> Moment {
        Moment::from_secs(secs)
    }

    #[test]
    fn the_network_opens_after_two_minutes_without_a_network_and_not_before() {
        let mut decision = Decision::new(at(0));
        assert_eq!(decision.observe(at(119), NONE), None);
        assert_eq!(decision.observe(at(120), NONE), OPEN);
        assert_eq!(decision.observe(at(122), NONE), None, "it opens once");

        // A connection starts the two minutes again.
        let mut decision = Decision::new(at(0));
        assert_eq!(decision.observe(at(100), CONNECTED), None);
        assert_eq!(decision.observe(at(3600), NONE), None);
        assert_eq!(decision.observe(at(3719), NONE), None);
        assert_eq!(decision.observe(at(3720), NONE), OPEN);
    }

    #[test]
    fn a_cable_closes_the_network() {
        let mut decision = Decision::new(at(0));
        assert_eq!(decision.observe(at(120), NONE), OPEN);
        assert_eq!(decision.observe(at(130), CONNECTED), Some(Step::Close));
        assert_eq!(decision.observe(at(132), CONNECTED), None);
    }

    #[test]
    fn settings_that_do_not_work_open_the_network_again_and_say_so() {
        let mut decision = Decision::new(at(0));
        assert_eq!(decision.submitted(at(5)), None, "no network is open");
        assert_eq!(decision.observe(at(120), NONE), OPEN);
        assert_eq!(decision.submitted(at(200)), Some(Step::Close));
        assert_eq!(decision.observe(at(289), NONE), None);
        let failed = Some(Step::Open { failed: true });
        assert_eq!(decision.observe(at(290), NONE), failed);
        // The second attempt works.
        assert_eq!(decision.submitted(at(300)), Some(Step::Close));
        assert_eq!(decision.observe(at(310), CONNECTED), None);
        assert_eq!(decision.observe(at(500), CONNECTED), None);
    }

    #[test]
    fn a_stored_network_is_tried_again_while_no_phone_uses_the_page() {
        let mut decision = Decision::new(at(0));
        assert_eq!(decision.observe(at(120), NONE), OPEN);
        decision.visited(at(400));
        assert_eq!(decision.observe(at(999), NONE), None);
        assert_eq!(decision.observe(at(1000), NONE), Some(Step::Close));
        assert_eq!(decision.observe(at(1089), NONE), None);
        assert_eq!(decision.observe(at(1090), NONE), OPEN);
        // Without a stored network, there is nothing to try.
        let nothing = Access::default();
        assert_eq!(decision.observe(at(9000), nothing), None);
        assert_eq!(decision.observe(at(9001), NONE), Some(Step::Close));
    }

    #[test]
    fn a_network_that_cannot_be_opened_is_tried_again_after_two_minutes() {
        let mut decision = Decision::new(at(0));
        assert_eq!(decision.observe(at(120), NONE), OPEN);
        decision.not_opened(at(121));
        assert_eq!(decision.observe(at(240), NONE), None);
        assert_eq!(decision.observe(at(241), NONE), OPEN);
    }
}
