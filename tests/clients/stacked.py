"""Two hubs, one the vendor of the other, each behind an nginx that terminates TLS with the block of the README,
and a display at the end: the display must be live, each row must be dated, and while the first nginx does not run,
the display must know it and each row must be stale. Takes about 10 seconds.

    tests/clients/stacked.py FOLDER     (the folder of the programs)

Needs Debian's packages nginx-light and openssl.
"""

import json
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "a-token-for-stacked-hubs"
# The time limit for each change that the test waits for.
LIMIT = 60


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Stack:
    def __init__(self, programs, folder):
        self.programs, self.folder, self.started = programs, folder, []
        self.certificate = folder / "nginx.pem"
        command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
        names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "nginx.key"]
        subprocess.run(["openssl", *command.split(), *names, "-out", self.certificate], check=True, capture_output=True)
        self.trust = ssl.create_default_context(cafile=self.certificate)

    def start(self, name, *command, **environment):
        with open(self.folder / f"{name}.log", "w") as log:
            process = subprocess.Popen(
                list(map(str, command)), stdout=log, stderr=log, env={**os.environ, **environment}
            )
        self.started.append(process)
        return process

    def hub(self, name, *arguments, **environment):
        """Starts a hub, and returns its process and its address."""
        config = self.folder / f"{name}.toml"
        lines = config.read_text() if config.exists() else ""
        config.write_text(
            f'announce = false\nlisten = "127.0.0.1:0"\ntrusted_proxy = ["127.0.0.1"]\n{lines}'
            f'[devices]\nfile = "{self.folder}/{name}.devices"\n'
        )
        command = (self.programs / "deskticker-hub", "run", *arguments, "--config", config)
        process = self.start(name, *command, MASSIVE_PROXY_TOKEN=TOKEN, **environment)
        return process, self.until(f"{name} listens", lambda: self.listening(name))

    def listening(self, name):
        found = re.search(r"listening on (?:ws://)?([0-9.:]+)", (self.folder / f"{name}.log").read_text())
        return found and found[1]

    def nginx(self, name, address, port=None):
        """Starts an nginx before a hub, and returns its process and its port."""
        [block] = re.findall(r"```nginx\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
        assert "127.0.0.1:3000" in block, block
        folder = self.folder
        port = port or free_port()
        places = "".join(
            f"{kind}_temp_path {folder}/{name}-{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        config = folder / f"{name}.conf"
        config.write_text(
            f"daemon off;\nmaster_process off;\npid {folder}/{name}.pid;\nerror_log stderr;\nevents {{}}\n"
            f"http {{\n{places}access_log off;\nserver {{\nlisten 127.0.0.1:{port} ssl;\nserver_name localhost;\n"
            f"ssl_certificate {self.certificate};\nssl_certificate_key {folder}/nginx.key;\n"
            f"{block.replace('127.0.0.1:3000', address)}}}\n}}\n"
        )
        return self.start(name, "nginx", "-c", config, "-p", folder), port

    def get(self, port, path):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        request = urllib.request.Request(f"https://localhost:{port}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=20, context=self.trust) as answer:
            return answer.read().decode()

    def until(self, what, found):
        due = time.monotonic() + LIMIT
        while time.monotonic() < due:
            for process in self.started:
                assert process.poll() is None, f"{process.args[0]} has ended"
            try:
                if answer := found():
                    return answer
            except OSError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"not within {LIMIT} seconds: {what}")


def run(stack):
    _, first = stack.hub("first", "--simulate")
    nginx, to_first = stack.nginx("nginx-first", first)
    (stack.folder / "second.toml").write_text(
        f'[massive]\nurl = "wss://localhost:{to_first}"\nca_file = "{stack.certificate}"\n'
    )
    _, second = stack.hub("second", MASSIVE_API_KEY=TOKEN)
    _, to_second = stack.nginx("nginx-second", second)
    (stack.folder / "display.toml").write_text(
        f'watchlist = ["SPX"]\n[hub]\nurl = "wss://localhost:{to_second}"\n'
        f'ca_file = "{stack.certificate}"\n[panel]\nkind = "png"\nfile = "{stack.folder}/display.png"\n'
    )
    display = (stack.programs / "deskticker", "run", "--config", stack.folder / "display.toml")
    stack.start("display", *display, MASSIVE_PROXY_TOKEN=TOKEN)

    def shown(freshness, count):
        # The display reports what it shows to its hub.
        line = rf'^deskticker_hub_device_values\{{device="[^"]*",freshness="{freshness}"\}} {count}$'
        return re.search(line, stack.get(to_second, "/metrics"), re.MULTILINE)

    def quote():
        [row] = json.loads(stack.get(to_second, "/api/quotes?tickers=SPX"))["results"]
        return row

    stack.until("the display shows SPX as live", lambda: shown("live", 1))
    row = quote()
    assert row["last"] > 0 and row["simulated"] and not row["stale"] and 0 <= row["age"] < 5, row
    stack.started.remove(nginx)
    nginx.terminate()
    nginx.wait(10)
    stopped = time.monotonic()
    told = "status message of the server: "
    stack.until("the display knows", lambda: told in (stack.folder / "display.log").read_text())
    stack.until("the row is stale", lambda: quote()["stale"])
    least = time.monotonic() - stopped
    row = quote()
    assert row["age"] > least - 1, (row, least)
    stack.nginx("nginx-first", first, to_first)
    stack.until("the row is fresh again", lambda: not quote()["stale"])


with tempfile.TemporaryDirectory() as folder:
    stack = Stack(Path(sys.argv[1]).resolve(), Path(folder))
    begun = time.monotonic()
    try:
        run(stack)
    except BaseException:
        for log in sorted(Path(folder).glob("*.log")):
            print(f"---- {log.name}\n" + "\n".join(log.read_text().splitlines()[-40:]), file=sys.stderr)
        raise
    finally:
        for process in reversed(stack.started):
            process.terminate()
        for process in stack.started:
            process.wait(10)
    print(f"two hubs behind nginx: the display was live and every row was dated ({time.monotonic() - begun:.0f} s)")
