//! The panel in a set-up: its I2C bus, the devices that answer, and a test picture with a number,
//! so that a person can confirm the settings.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::console::{Console, Question};
use super::edit;
use super::quoted;
use super::service::system;
use crate::board::{Board, CONFIG_TXT};
use crate::display::{
    Bus, BusFault, Chip, GpioLine, LinuxBus, Oled, PanelLight, PanelSettings, Rotation, is_spi,
    place,
};
use crate::doctor::{self, BusProbe, USUAL, buses, wiring};
use crate::render::{Colours, Size, notice, test_picture};

/// The digits of the test number. A 6 and a 9 are missing, because they look like each other on a
/// panel that is upside down.
const DIGITS: [char; 6] = ['2', '3', '4', '5', '7', '8'];
/// The longest wait for the device file of a bus, after its driver has been loaded.
const BUS_LIMIT: Duration = Duration::from_secs(3);
/// Enables the bus if its device file is missing: in the boot configuration, by its module,
/// and, where the system can, without a restart of the machine. `root` is usually `/`.
///
/// # Errors
/// A file cannot be written, or the user ends the set-up.
pub(super) fn enable_bus(
    root: &Path,
    bus: &Path,
    board: &Board,
    console: &Console,
    dry_run: bool,
) -> Result<(), String> {
    let below = |path: &Path| root.join(path.strip_prefix("/").unwrap_or(path));
    if below(bus).exists() {
        return Ok(());
    }
    let name = bus.file_name().unwrap_or_default();
    let driven = root.join("sys/bus/i2c/devices").join(name).exists();
    // The set-up changes only the boot configuration of a Raspberry Pi.
    let raspberry = board.boot_file == CONFIG_TXT;
    if !driven && !raspberry {
        let remedy = board.bus_remedy(is_spi(bus));
        console.say(&format!("There is no {}. {remedy}", bus.display()));
        return Ok(());
    }
    // The module creates the device files of the buses.
    let (module, parameter, lines) = match is_spi(bus) {
        true => ("spidev", "spi=on", board.spi),
        false => ("i2c-dev", "i2c_arm=on", board.i2c),
    };
    let mut commands = vec![["modprobe", module]];
    if !driven {
        // dtparam is only on Raspberry Pi OS; a failure leaves the restart of the machine.
        commands.insert(0, ["dtparam", parameter]);
    }
    let mut changes = Vec::new();
    let boot = ["boot/firmware/config.txt", "boot/config.txt"].map(|file| root.join(file));
    let boot = boot.into_iter().find(|file| file.exists() && !driven);
    if let Some(file) = boot.filter(|_| raspberry) {
        let old = std::fs::read_to_string(&file)
            .map_err(|error| format!("{}: {error}", file.display()))?;
        let new = edit::boot_lines(&old, lines);
        changes.push((file, old, new));
    }
    let modules = root.join("etc/modules-load.d/deskticker.conf");
    if !is_spi(bus) && !root.join("usr/lib/modules-load.d/deskticker.conf").exists() {
        let old = std::fs::read_to_string(&modules).unwrap_or_default();
        changes.push((modules, old, format!("{module}\n")));
    }
    changes.retain(|(_, old, new)| old != new);
    console.say(&format!(
        "There is no {}. To enable the bus, the set-up",
        bus.display()
    ));
    for (file, old, new) in &changes {
        let lines = edit::difference(old, new);
        console.say(&format!("  changes {}:{lines}", file.display()));
    }
    let runs: Vec<String> = commands.iter().map(|words| words.join(" ")).collect();
    console.say(&format!("  runs {}", runs.join(" and ")));
    if dry_run || !console.agrees("Enable the bus?")? {
        return Ok(());
    }
    for (file, _, new) in &changes {
        edit::write(file, new, 0o644)?;
    }
    if root == Path::new("/") {
        for command in &commands {
            let _ = system(command);
        }
        let end = Instant::now() + BUS_LIMIT;
        while !bus.exists() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    if !below(bus).exists() {
        console.say(
            "The bus needs a restart of the machine: reboot, then run this command once more to see \
             the test picture.",
        );
    }
    Ok(())
}

/// Returns the places where a panel can be, each a bus and an address, and prints the addresses at
/// which a device answers. The bus of `wanted` comes first; without `others` it is the only bus.
fn scan(
    wanted: &PanelSettings,
    others: bool,
    board: &Board,
    console: &Console,
) -> Vec<(PathBuf, u8)> {
    let bus = wanted.bus.as_path();
    // Some panels answer only after a reset.
    let reset = LinuxBus::of(wanted).open();
    if let Err(fault @ BusFault::Gpio(..)) = &reset {
        console.say(&fault.advice(bus, wanted.address));
    }
    let mut all = vec![bus.to_owned()];
    let more = buses(Path::new("/")).into_iter().map(PathBuf::from);
    all.extend(more.filter(|other| others && other != bus));
    let mut found = Vec::new();
    for place in &all {
        let fault = USUAL.into_iter().find_map(|address| {
            match doctor::touch(place, address, BusProbe::Empty) {
                Ok(()) => {
                    console.say(&format!("{address:#04x} answers on {}", place.display()));
                    found.push((place.clone(), address));
                    None
                }
                Err(BusFault::NoAnswer) => None,
                Err(fault) => Some(fault.advice(place, address)),
            }
        });
        if let Some(advice) = fault.filter(|_| place == bus) {
            console.say(&advice);
            return found;
        }
    }
    if found.is_empty() {
        let answers = |address: &u8| doctor::touch(bus, *address, BusProbe::Empty).is_ok();
        let devices = (0x08..=0x77).filter(answers);
        let devices = devices
            .map(|address| format!("{address:#04x}"))
            .collect::<Vec<_>>();
        let devices = match devices.as_slice() {
            [] => "nothing answers".to_owned(),
            devices => format!("no panel answers, only {}", devices.join(", ")),
        };
        let advice = wiring(board);
        console.say(&format!("On {} {devices}. {advice}", bus.display()));
    }
    found
}

/// Finds the panel on the bus, and shows a test picture with each likely combination of settings
/// until the user types its number. Returns the settings that the user has confirmed, or the given
/// settings without a terminal. Also returns the colours if the user has been asked for them;
/// `colours` are the present ones, or `None` if the user need not be asked.
///
/// # Errors
/// No combination was right, or the user ends the set-up.
pub(super) fn find(
    mut wanted: PanelSettings,
    colours: Option<Colours>,
    others: bool,
    board: &Board,
    console: &Console,
) -> Result<(PanelSettings, Option<Colours>), String> {
    let own = (wanted.bus.clone(), wanted.address);
    let mut places = match is_spi(&wanted.bus) {
        // A panel on SPI sends no answer.
        true => vec![own.clone()],
        false => scan(&wanted, others, board, console),
    };
    while places.is_empty() && console.asks() {
        let text = "Scan again? (no: go on without a test picture; a number: the GPIO at the pin RES of \
                    the panel)";
        let answer = console.ask(&Question::new(text, "yes", ""))?;
        match answer.to_ascii_lowercase().as_bytes() {
            [b'n', ..] => return Ok((wanted, None)),
            [b'y', ..] => {}
            _ => match answer.parse() {
                Ok(line) => wanted.reset = Some(line),
                Err(reason) => console.say(&format!("  {reason}")),
            },
        }
        places = scan(&wanted, others, board, console);
    }
    places.sort_by_key(|place| *place != own);
    let Some((bus, address)) = places.first().cloned() else {
        return Ok((wanted, None));
    };
    let first = PanelSettings {
        bus,
        address,
        ..wanted
    };
    if !console.asks() {
        return Ok((first, None));
    }
    console.say(
        "Each test picture has a line along all four edges, and a number of four digits: two at the \
         top left and two at the bottom right.",
    );
    let mut combinations = combinations(&first, &places);
    while let Some(settings) = combinations.pop_front() {
        let number: String = (0..4)
            .map(|_| DIGITS[fastrand::usize(..DIGITS.len())])
            .collect();
        let words = describe(&settings);
        // The panel keeps its reset line while the user looks at the picture.
        let mut shown = Oled::linux(settings.clone());
        let frame = test_picture(settings.size, &number);
        if let Err(fault) = shown.leave(&frame, PanelLight::default()) {
            console.say(&fault.advice(&settings.bus, settings.address));
            continue;
        }
        console.say(&format!("The panel shows a test picture for {words}."));
        let text = "The number, if the picture is upright and complete (Enter: it is not, u: upside \
                    down, s: keep these settings)";
        let answer = console.ask(&Question::new(text, "", ""))?;
        if answer == number || answer == "s" {
            // The user can look at the test picture for this answer.
            let colours = colours.filter(|_| settings.size == Size::Tall);
            let colours = colours.map(|present| ask_colours(present, console));
            let colours = colours.transpose()?;
            drop(shown);
            let frame = notice(settings.size, "SETUP", "at the terminal");
            // The ticker draws over this picture soon.
            let _ = Oled::linux(settings.clone()).leave(&frame, PanelLight::default());
            return Ok((settings, colours));
        }
        drop(shown);
        match answer.as_str() {
            "u" => combinations.push_front(turned(&settings)),
            "" => {}
            _ => console.say("  This is not the number; here is the next combination."),
        }
    }
    Err("no combination of chip, size, rotation and address was right, and nothing was changed. Is it \
         one of these chips: ssd1306, ssd1315, ssd1309, sh1106, sh1107? A panel with a RES pin usually needs \
         this pin at a GPIO, and --reset with the number of the GPIO. A panel with other columns needs \
         column_offset in the configuration"
        .into())
}

/// Asks for the colours of a panel of 128×64.
fn ask_colours(present: Colours, console: &Console) -> Result<Colours, String> {
    let default = match present {
        Colours::One => "no",
        Colours::YellowBlue => "yes",
    };
    let question = Question::new("Is the top quarter of the panel yellow?", default, "");
    let yellow = console
        .ask(&question)?
        .to_ascii_lowercase()
        .starts_with('y');
    Ok(if yellow {
        Colours::YellowBlue
    } else {
        Colours::One
    })
}

/// Returns the likely combinations of the settings, the most likely ones first.
fn combinations(first: &PanelSettings, places: &[(PathBuf, u8)]) -> VecDeque<PanelSettings> {
    let column = Chip::COLUMN;
    let likely = [
        (first.chip, first.size),
        (Chip::Ssd1306, Size::Tall),
        (Chip::Sh1106 { column }, Size::Tall),
        (Chip::Ssd1306, Size::Short),
        (Chip::Ssd1309, Size::Tall),
        (Chip::Sh1107 { column: 0 }, Size::Square),
    ];
    let mut all = VecDeque::new();
    for first in [first.clone(), turned(first)] {
        for (bus, address) in places.iter().cloned() {
            for (chip, size) in likely {
                let settings = PanelSettings {
                    chip,
                    size,
                    bus: bus.clone(),
                    address,
                    ..first.clone()
                };
                if !all.contains(&settings) {
                    all.push_back(settings);
                }
            }
        }
    }
    all
}

fn turned(settings: &PanelSettings) -> PanelSettings {
    PanelSettings {
        rotation: match settings.rotation {
            Rotation::Upright => Rotation::UpsideDown,
            Rotation::UpsideDown => Rotation::Upright,
        },
        ..settings.clone()
    }
}

fn describe(settings: &PanelSettings) -> String {
    let PanelSettings { chip, size, .. } = settings;
    let (chip, rotation) = (chip_name(*chip), degrees(settings.rotation));
    let place = place(&settings.bus, settings.address);
    format!("{chip}, {size}, {place}, rotation {rotation}")
}

/// The name of a chip in the configuration.
pub(super) const fn chip_name(chip: Chip) -> &'static str {
    match chip {
        Chip::Ssd1306 => "ssd1306",
        Chip::Ssd1315 => "ssd1315",
        Chip::Ssd1309 => "ssd1309",
        Chip::Sh1106 { .. } => "sh1106",
        Chip::Sh1107 { .. } => "sh1107",
    }
}

/// A GPIO line in the configuration.
pub(super) fn line(line: GpioLine) -> String {
    match line.chip {
        0 => line.line.to_string(),
        chip => quoted(&format!("gpiochip{chip}:{}", line.line)),
    }
}

/// The rotation in the configuration.
pub(super) const fn degrees(rotation: Rotation) -> u8 {
    match rotation {
        Rotation::Upright => 0,
        Rotation::UpsideDown => 180,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bus_is_enabled_in_the_files_of_the_system_and_the_old_file_is_kept() {
        let root = std::env::temp_dir().join(format!("deskticker-bus-{}", std::process::id()));
        let boot = root.join("boot/firmware/config.txt");
        std::fs::create_dir_all(boot.parent().unwrap()).unwrap();
        let stock = "#dtparam=i2c_arm=on\n[all]\n";
        std::fs::write(&boot, stock).unwrap();
        let board = Board::for_model("Raspberry Pi 4 Model B Rev 1.5");
        let bus = Path::new("/dev/i2c-1");
        let console = Console::open(false);
        let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap_or_default();
        enable_bus(&root, bus, board, &console, true).unwrap();
        assert_eq!(read("boot/firmware/config.txt"), stock);
        for _ in 0..2 {
            enable_bus(&root, bus, board, &console, false).unwrap();
            let wanted = "dtparam=i2c_arm=on\n[all]\ndtparam=i2c_arm_baudrate=400000\n";
            assert_eq!(read("boot/firmware/config.txt"), wanted);
            assert_eq!(read("boot/firmware/config.txt.old"), stock);
            assert_eq!(read("etc/modules-load.d/deskticker.conf"), "i2c-dev\n");
        }
        assert!(!root.join("boot/firmware/config.txt.old2").exists());
        // The bus exists, so nothing has to change.
        std::fs::create_dir_all(root.join("dev")).unwrap();
        std::fs::write(root.join("dev/i2c-1"), "").unwrap();
        std::fs::write(&boot, stock).unwrap();
        enable_bus(&root, bus, board, &console, false).unwrap();
        assert_eq!(read("boot/firmware/config.txt"), stock);
        // A PC has no bus of its own to enable, also if it has the file of a Raspberry Pi.
        std::fs::remove_file(root.join("etc/modules-load.d/deskticker.conf")).unwrap();
        let pc = Board::for_model("no device tree");
        enable_bus(&root, Path::new("/dev/i2c-usb"), pc, &console, false).unwrap();
        assert_eq!(read("boot/firmware/config.txt"), stock);
        assert_eq!(read("etc/modules-load.d/deskticker.conf"), "");
        std::fs::remove_dir_all(&root).unwrap();
    }
}
