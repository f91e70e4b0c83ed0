"""`sudo hemsd install` on a pristine Debian: what it leaves, what it keeps, and a meter that is read at the end."""

from __future__ import annotations

import hashlib
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.machine import booted, overlay
from support.mosquitto import PASSWORD, USER
from support.service import MODULE, ROUTEB, SYSTEM, TARGET, House, simulated_meter
from support.terminal import Conversation

pytestmark = pytest.mark.needs("root", "systemd-nspawn", "mmdebstrap")

HEMSD = "/opt/hemsd/bin/hemsd"
LETTER = "/root/letter.toml"
NOBODY = ("setpriv", "--reuid=65534", "--clear-groups")
READ = "hemsd is installed and reads the meter."
SYSTEMS_OWN = (  # what Debian writes by itself while it runs, or when a user is made
    "var/log",
    "var/tmp",
    "tmp",
    "run",
    "var/lib/systemd",  # the key of this machine among it, with which others may have sealed something
    "etc/passwd-",
    "etc/group-",
    "etc/shadow-",
    "etc/gshadow-",
    "etc/.pwd.lock",
    "etc/subuid",
    "etc/subuid-",
    "etc/subgid",
    "etc/subgid-",
)
STATE = ("var/lib/hemsd/", "var/lib/hemsd-routeb/", "var/lib/hemsd-gateway/")


@contextmanager
def house_of(fresh: Path, directory: Path) -> Iterator[House]:
    """Booted, as pip leaves it, with a module, and root has the letter of the grid company in a file."""
    directory.mkdir()
    with (
        simulated_meter(0) as meter,
        overlay(fresh, directory) as root,
        booted(root, f"--bind={meter.tty}:{MODULE}") as machine,
    ):
        meter.tty.chmod(0o666)  # there is no udev in a container to give it to the service
        house = House(machine, meter)
        letter = root / LETTER[1:]
        letter.touch(0o600)
        letter.write_text(house.meter.credentials)
        yield house


@pytest.fixture
def house(fresh: Path, tmp_path: Path) -> Iterator[House]:
    """One to install on."""
    with house_of(fresh, tmp_path / "machine") as house:
        yield house


@pytest.fixture(scope="module")
def untouched(fresh: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One that every test leaves as it was."""
    with house_of(fresh, tmp_path_factory.mktemp("untouched") / "machine") as house:
        yield house


@contextmanager
def broker_of(house: House, directory: Path) -> Iterator[None]:
    """A mosquitto on the loopback interface of the machine that lets in nobody without the password."""
    passwords, file = directory / "passwords", directory / "mosquitto.conf"
    subprocess.run(["mosquitto_passwd", "-b", "-c", passwords, USER, PASSWORD], check=True, capture_output=True)
    file.write_text(f"user root\nlistener 1883 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\n")
    inside = ["nsenter", "-t", str(house.init), "-n", "mosquitto", "-c", file]
    with subprocess.Popen(inside, stderr=subprocess.DEVNULL) as broker:
        yield
        broker.terminate()


def install(house: House, *options: str) -> str:
    """Install without a question, with success."""
    return house.run(HEMSD, "install", "--yes", *options)


def upper(house: House) -> Path:
    """Everything in which the machine differs from the tree that it was made of."""
    return house.root.parent / "upper"


def files_of(house: House) -> dict[str, str]:
    """What was written, by path: a digest of mode and content."""
    found = {}
    for path in sorted(upper(house).rglob("*")):
        name = str(path.relative_to(upper(house)))
        mode = path.lstat().st_mode
        if not stat.S_ISDIR(mode) and not any(name == each or name.startswith(f"{each}/") for each in SYSTEMS_OWN):
            content = path.read_bytes() if stat.S_ISREG(mode) else b""
            found[name] = f"{mode:o} {hashlib.sha256(content).hexdigest()}"
    return found


def whoever_has_a_secret(house: House) -> set[str]:
    """The files of the machine in which the Route B ID or the password can be read."""
    secrets = [secret.encode() for secret in (house.meter.id, house.meter.password)]
    paths = [path for path in upper(house).rglob("*") if path.is_file() and not path.is_symlink()]
    found = [path for path in paths if any(secret in path.read_bytes() for secret in secrets)]
    return {f"/{path.relative_to(upper(house))}" for path in found}


def test_a_dry_run_only_shows(untouched: House) -> None:
    """Every step is named, the secret one too, and not a file is different afterwards; without root as well."""
    before = files_of(untouched)
    told = untouched.run(HEMSD, "install", "--dry-run")
    assert f"write   /{SYSTEM}/hemsd.service" in told
    assert "seal    /etc/credstore.encrypted/hemsd-routeb" in told
    assert "run     systemctl start hemsd.target" in told
    assert "hemsd.target" in untouched.run(
        "setpriv", "--reuid=65534", "--clear-groups", HEMSD, "install", "--dry-run"
    )
    assert files_of(untouched) == before


def test_without_a_person_what_is_missing_is_said(untouched: House) -> None:
    """No terminal and no --yes, no root, no credentials: each is an error that says what would do."""
    before = files_of(untouched)
    assert "add --yes" in untouched.run(HEMSD, "install", check=False)
    assert "add --credentials FILE" in untouched.run(HEMSD, "install", "--yes", check=False)
    assert "this is for root: sudo" in untouched.run(*NOBODY, HEMSD, "install", "--yes", check=False)
    at_broker = ("--credentials", LETTER, "--broker", "mqtt://192.168.1.10", "--username", "hemsd")
    told = untouched.run(HEMSD, "install", "--yes", *at_broker, check=False)
    assert "write it into /etc/hemsd/mqtt-password (one line, mode 0600)" in told
    assert "--username is for --broker URL" in untouched.run(
        HEMSD, "install", "--yes", "--username", "hemsd", check=False
    )
    told = untouched.run(HEMSD, "install", "--yes", "--broker", "mqtt://hemsd:kokeshi@192.168.1.10", check=False)
    assert told == "hemsd: --broker: url may not hold a user or password: use username and password_file"
    (untouched.root / LETTER[1:]).chmod(0o644)
    told = untouched.run(HEMSD, "install", "--yes", "--credentials", LETTER, check=False)
    assert told == f"hemsd: {LETTER}: others may read it (mode 0644); run: chmod 600 {LETTER}"
    (untouched.root / LETTER[1:]).chmod(0o600)
    assert files_of(untouched) == before


def test_the_whole_life_of_an_installation(house: House) -> None:
    """Installed it reads the meter; again changes nothing; removed it leaves its owner's things; purged nothing."""
    (house.root / LETTER[1:]).rename(house.root / "etc/letter.toml")
    before = files_of(house)
    house.run("useradd", "hanako")
    told = house.run("env", "SUDO_USER=hanako", HEMSD, "install", "--yes", "--credentials", "/etc/letter.toml")
    assert READ in told
    assert "energy import" in told
    assert "online" in house.run("su", "hanako", "-c", "hemsd status")
    running, after = house.pid(ROUTEB), files_of(house)
    assert whoever_has_a_secret(house) == {"/etc/letter.toml"}
    house.run("rm", "/etc/letter.toml")

    assert "Everything is in place already." in install(house)
    assert (house.pid(ROUTEB), house.show(TARGET, "ActiveState")) == (running, "active")
    same = {name: digest for name, digest in files_of(house).items() if not name.startswith(STATE)}
    assert same == {n: d for n, d in after.items() if not n.startswith(STATE) and n != "etc/letter.toml"}

    site = (house.root / "var/lib/hemsd/site").read_text()
    kept = house.run(HEMSD, "uninstall", "--yes")
    assert "Kept: /etc/hemsd, /etc/credstore.encrypted/hemsd-routeb, /var/lib/hemsd" in kept
    left = {name for name, digest in files_of(house).items() if before.get(name) != digest}
    users = {"etc/passwd", "etc/group", "etc/shadow", "etc/gshadow"}
    assert {name for name in left if not name.startswith(STATE)} == users | {
        "etc/hemsd/hemsd.toml",
        "etc/credstore.encrypted/hemsd-routeb",
    }
    assert READ in install(house)
    assert (house.root / "var/lib/hemsd/site").read_text() == site

    house.run(HEMSD, "uninstall", "--yes", "--purge")
    del before["etc/letter.toml"]
    contents = {name: digest for name, digest in files_of(house).items() if name not in users}
    assert contents == {name: digest for name, digest in before.items() if name not in users}
    for name in ("passwd", "group"):
        assert "hemsd" not in house.run("getent", name)
    assert "0 unit files" in house.run("systemctl", "list-unit-files", "hemsd*", check=False)
    journal = house.run("journalctl", "--no-pager")
    assert "the meter is online" in journal
    for secret in (house.meter.id, house.meter.password):
        assert secret not in told + kept + journal


def test_an_upgrade_keeps_what_is_the_persons(house: House) -> None:
    """Units of another version are replaced and the service is restarted; configuration, drop-ins and state stay."""
    install(house, "--credentials", LETTER)
    house.override("[Service]\nEnvironment=MINE=1\n", ROUTEB)
    configuration = house.root / "etc/hemsd/hemsd.toml"
    configuration.write_text(configuration.read_text().replace("#live_s = 30", "live_s = 20"))
    house.run("touch", "--date=+2 seconds", "/etc/hemsd/hemsd.toml")  # this went faster than a person
    assert house.run(HEMSD, "install", "--dry-run").endswith("  run     systemctl restart hemsd.target")
    unit = house.root / SYSTEM / ROUTEB
    unit.write_text("# hemsd 0.0.9\n" + unit.read_text())
    (house.root / SYSTEM / "hemsd-old.service").write_text("[Service]\nExecStart=true\n")
    before, running = files_of(house), house.pid(ROUTEB)
    told = install(house)
    assert READ in told
    assert house.pid(ROUTEB) != running
    assert "MINE=1" in house.run("cat", f"/proc/{house.pid(ROUTEB)}/environ")
    changed = {name for name, digest in files_of(house).items() if before[name] != digest}
    assert {name for name in changed if not name.startswith(STATE)} == {f"{SYSTEM}/{ROUTEB}"}
    assert set(before) - set(files_of(house)) >= {f"{SYSTEM}/hemsd-old.service"}


def test_without_systemd_creds_a_key_of_roots_seals(house: House) -> None:
    """ID and password are nowhere in clear, key and file are root's alone, and one that was changed is refused.

    One process becomes three on the way, and the meter's part still knows where the meter is.
    """
    house.run("mv", "/usr/bin/systemd-creds", "/usr/bin/systemd-creds.away")
    told = install(house, "--credentials", LETTER, "--single")
    assert READ in told
    sealed, key = (house.root / f"etc/hemsd/credentials.{kind}" for kind in ("sealed", "key"))
    for path in (sealed, key):
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_uid) == (0o600, 0)
    assert whoever_has_a_secret(house) == {LETTER}
    content = bytearray(sealed.read_bytes())
    content[-1] ^= 1
    sealed.write_bytes(content)
    refusal = house.run(HEMSD, "install", "--yes", check=False)
    assert refusal == (
        "hemsd: /etc/hemsd/credentials.sealed: it was changed, or sealed with another key than the one beside it; "
        "seal it again: sudo hemsd install --credentials FILE"
    )
    house.run("mv", "/usr/bin/systemd-creds.away", "/usr/bin/systemd-creds")
    assert (house.root / "var/lib/hemsd/pans.json").exists()
    told = install(house, "--credentials", LETTER, "--three")
    assert READ in told
    assert not (house.root / "var/lib/hemsd/pans.json").exists()
    assert "move    /var/lib/hemsd/pans.json -> /var/lib/hemsd-routeb/pans.json" in told
    assert house.run("stat", "-c", "%U %a", "/var/lib/hemsd-routeb/pans.json") == "hemsd-routeb 600"
    assert not sealed.exists()
    assert not key.exists()
    by_systemd = house.root / "etc/credstore.encrypted/hemsd-routeb"
    by_systemd.write_text("A" * 100 + by_systemd.read_text()[100:])
    refusal = house.run(HEMSD, "install", "--yes", check=False)
    assert refusal.startswith("hemsd: /etc/credstore.encrypted/hemsd-routeb: systemd-creds cannot decrypt it: ")


@pytest.mark.needs("mosquitto")
def test_a_person_is_asked(house: House, tmp_path: Path) -> None:
    """What is typed is checked as it would be in a file, and never shown; the plan is shown before it is done."""
    with broker_of(house, tmp_path):
        talk = Conversation([*house.enter, HEMSD, "install", "--appliances", "none"])
        talk.answer("address (Enter: none)", "127.0.0.1")
        talk.answer("address (Enter: none)", "mqtt://127.0.0.1")
        talk.answer("user name there", USER)
        talk.answer("ID, 32 digits", house.meter.id[:-1])
        talk.answer("password, 12", house.meter.password)
        talk.answer("ID, 32 digits", " ".join(house.meter.id[at : at + 4] for at in range(0, 32, 4)).lower())
        talk.answer("password, 12", house.meter.password)
        talk.answer(f"password of {USER} there", PASSWORD)
        talk.answer("Do it? [Y/n]", "")
        assert talk.end() == 0
    assert "url must begin with mqtt:// or mqtts://" in talk.said
    assert "hemsd is connected to the MQTT broker 127.0.0.1." in talk.said
    path = house.root / "etc/hemsd/mqtt-password"
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == (f"{PASSWORD}\n", 0o600)
    assert "the Route B ID must have 32 characters, this one has 31" in talk.said
    before, _, after = talk.said.partition("Do it?")
    assert f"write   /{SYSTEM}/hemsd.target" in before
    assert READ in after
    for secret in (house.meter.id, house.meter.id.lower(), house.meter.password, PASSWORD):
        assert secret not in talk.said
        assert secret[:4] not in talk.said


def test_a_person_may_say_no(untouched: House) -> None:
    """Then nothing is different."""
    before = files_of(untouched)
    talk = Conversation([*untouched.enter, HEMSD, "install", "--appliances", "none", "--credentials", LETTER])
    talk.answer("address (Enter: none)", "")
    talk.answer("Do it? [Y/n]", "n")
    assert talk.end() == 2
    assert "nothing was done" in talk.said
    assert files_of(untouched) == before
