"""Checks an SBOM against the list of crates in its program: `python3 sbom.py PROGRAM SBOM`.

cargo auditable writes the list into the section .dep-v0 of the program, compressed with zlib. cargo
cyclonedx writes the SBOM. Every crate in the program must be in the SBOM.
"""

import json
import struct
import sys
import zlib


def section(program, wanted):
    """Returns the bytes of a section of an ELF file with 32 or 64 bits, in little-endian."""
    with open(program, "rb") as file:
        data = file.read()
    wide = data[4] == 2
    headers, = struct.unpack_from("<Q" if wide else "<I", data, 40 if wide else 32)
    size, count, names = struct.unpack_from("<HHH", data, 58 if wide else 46)

    def header(number):
        at = headers + number * size
        name, = struct.unpack_from("<I", data, at)
        return name, *struct.unpack_from("<QQ" if wide else "<II", data, at + (24 if wide else 16))

    _, table, _ = header(names)
    for number in range(count):
        name, start, length = header(number)
        if data[table + name :].split(b"\0", 1)[0] == wanted:
            return data[start : start + length]
    sys.exit(f"{program} has no section {wanted.decode()}")


def main():
    program, sbom = sys.argv[1:]
    audit = json.loads(zlib.decompress(section(program, b".dep-v0")))
    # The root is the program itself, which the SBOM describes under its own name.
    crates = [crate for crate in audit["packages"] if not crate.get("root")]
    crates = [crate for crate in crates if crate.get("kind", "runtime") == "runtime"]
    inside = {(crate["name"], crate["version"]) for crate in crates}
    with open(sbom) as file:
        bill = json.load(file)
    if bill["bomFormat"] != "CycloneDX":
        sys.exit(f"{sbom} is no SBOM of CycloneDX")
    described = bill["metadata"]["component"]["name"]
    if described != program.rsplit("/", 1)[1]:
        sys.exit(f"{sbom} describes {described}")
    missing = inside - {(component["name"], component["version"]) for component in bill["components"]}
    # The programs have some sixty crates.
    if len(inside) < 30 or missing:
        sys.exit(f"{sbom} lacks {sorted(missing)} of the {len(inside)} crates in {program}")
    print(f"{program.rsplit('/', 1)[1]}: {len(inside)} crates, all in the SBOM")


main()
