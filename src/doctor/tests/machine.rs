use super::*;
use crate::doctor::CheckState;
use crate::time::Moment;

const BUS: &str = "/dev/i2c-1";
const GROUPS: &str = "root:x:0:\ndialout:x:20:pi\ni2c:x:994:pi,anna\nempty:x:1:\nshort:x\n";

fn permission(
    opened: Result<(), BusFault>,
    device: (u32, u32),
    mine: &[u32],
    user: &str,
) -> Finding {
    judge_permission(Path::new(BUS), opened, device, GROUPS, mine, user)
}

#[test]
fn a_denied_bus_access_names_the_missing_step() {
    let denied = |device, mine: &[u32], user| {
        let finding = permission(Err(BusFault::Denied), device, mine, user);
        assert_eq!(finding.state, CheckState::Failed);
        assert_eq!(
            finding.found,
            "this user has no permission to open /dev/i2c-1"
        );
        finding.remedy.unwrap()
    };
    let stranger = denied((994, 0o20660), &[1000], "bob");
    assert!(
        stranger.contains("\n  sudo usermod -aG i2c $USER"),
        "{stranger}"
    );
    // The user `ann` is no member of the group, although the member `anna` has the same first
    // letters.
    assert_eq!(denied((994, 0o20660), &[1000], "ann"), stranger);
    assert_eq!(denied((994, 0o20660), &[1000], ""), stranger);
    let member = denied((994, 0o20660), &[1000], "anna");
    assert!(member.ends_with("log in again."), "{member}");
    // The mode gives the group no access, the group does not exist, or the group is root (id 0).
    for device in [(994, 0o20600), (77, 0o20660), (0, 0o20660)] {
        let rule = denied(device, &[1000, 994], "anna");
        assert!(rule.contains("/etc/udev/rules.d/60-i2c.rules"), "{rule}");
    }
}

#[test]
fn a_bus_that_opens_is_ok_and_a_file_that_is_no_bus_fails() {
    let open = permission(Ok(()), (0, 0o20600), &[], "");
    assert_eq!(open, Finding::ok("permission", "/dev/i2c-1 can be opened"));
    let folder = permission(Err(BusFault::NotABus), (0, 0), &[], "");
    assert_eq!(folder.state, CheckState::Failed);
    assert!(folder.remedy.unwrap().contains("is not an I2C bus"));
}

#[test]
fn a_clock_is_compared_with_the_server_and_four_seconds_are_tolerated() {
    let root = Path::new("/no/such/root");
    let server = Utc(1_795_444_200_000);
    let at = |seconds: i64| {
        let now = Now::new(Moment::ZERO, Utc(server.0 + seconds * 1000));
        clock(root, now, Some(server))
    };
    assert_eq!(at(0).state, CheckState::Ok);
    assert_eq!(
        (at(4).state, at(-4).state),
        (CheckState::Ok, CheckState::Ok)
    );
    assert_eq!(
        (at(5).state, at(-59).state),
        (CheckState::Warning, CheckState::Warning)
    );
    let behind = at(-7200);
    assert_eq!(behind.state, CheckState::Failed);
    assert!(behind.found.starts_with("7200 s behind the server's clock"));
    assert!(at(60).found.starts_with("60 s ahead of the server's clock"));
    let unset = Now {
        monotonic: Moment::ZERO,
        utc: None,
    };
    let unset = clock(root, unset, Some(server));
    assert_eq!(
        (unset.state, unset.found.as_str()),
        (CheckState::Failed, "the clock is not set")
    );
    assert!(unset.remedy.unwrap().contains("timedatectl set-ntp true"));
}
