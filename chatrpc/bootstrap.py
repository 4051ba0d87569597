"""The set-up: from a bare machine to an environment in ``.venv``, with RabbitMQ beside it.

Run by path with whatever ``python3`` there is (``make setup`` does), so this file keeps to
what Python 3.6 can read, and to the standard library. It does only what is not done yet: when
nothing changed since the last time, nothing at all.
"""

import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from typing import IO

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
PYTHON = os.path.join(VENV, "bin", "python")
STAMP = os.path.join(VENV, "chatrpc-setup.json")
STATE = os.path.join(ROOT, ".chatrpc")
LOG = os.path.join(STATE, "setup.log")
OLDEST, NEWEST = (3, 11), (3, 13)
DRIVER = os.path.join("site-packages", "playwright", "driver", "node")
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

# JupyterLab asks the outside for nothing: no news, no updates, no list of extensions.
LAB_CONFIG = {"LabApp": {"extension_manager": "readonly", "news_url": None}}
LAB_OVERRIDES = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    }
}


class Problem(Exception):
    """The set-up cannot go on: what is wrong, and what to type."""


def say(text: str) -> None:
    """Tell the person who waits."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


# -- what to type -------------------------------------------------------------------------


def rabbitmq_advice() -> str:
    """What to type to get RabbitMQ on this system, as one paragraph."""
    if sys.platform == "darwin":
        return "Type `brew install rabbitmq` (Homebrew), or use conda (environment.yml)."
    if shutil.which("apt-get"):
        return "Type `sudo apt-get install --no-install-recommends rabbitmq-server`."
    return (
        "Type what your system needs (Fedora: `sudo dnf install rabbitmq-server`; "
        "Arch: `sudo pacman -S rabbitmq`); or use conda (`conda env create -f environment.yml`); "
        "or start one in Docker (`docker run -d -p 127.0.0.1:5672:5672 rabbitmq`) and "
        "`export CHATRPC_URL=amqp://guest:guest@localhost:5672/`."
    )


def python_advice() -> str:
    """What to type to get a Python that fits."""
    if sys.platform == "darwin":
        return "Type `brew install python@3.13`, then the same command again."
    return (
        "Type `sudo apt-get install python3 python3-venv` on Debian 12, Ubuntu 24.04 or newer, "
        "or use conda (`conda env create -f environment.yml`)."
    )


# -- Python -------------------------------------------------------------------------------


def find_python() -> str:
    """The path of a Python that fits: this one, or another on the PATH."""
    names = [sys.executable] + [f"python3.{n}" for n in range(NEWEST[1], OLDEST[1] - 1, -1)]
    for path in filter(None, map(shutil.which, names)):
        real = fitting(path)
        if real:
            return real
    here = "{}.{}.{}".format(*sys.version_info[:3])
    raise Problem(f"Python 3.11, 3.12 or 3.13 is needed; this one is {here}. {python_advice()}")


def fitting(python: str) -> str:
    """The real path behind a Python whose version fits, be it a venv's or a version manager's."""
    code = (
        "import sys; print(sys.version_info[:2], getattr(sys, '_base_executable', sys.executable))"
    )
    try:
        said = subprocess.check_output(
            [python, "-I", "-c", code],
            env=environment(),
            stderr=subprocess.DEVNULL,
            universal_newlines=True,
        ).strip()
    except (OSError, subprocess.CalledProcessError):  # a shim may lead nowhere
        return ""
    version, _, path = said.partition(") ")
    numbers = tuple(int(number) for number in re.findall(r"[0-9]+", version))
    return path if OLDEST <= numbers <= NEWEST else ""


def _runs(command: "list[str]") -> bool:
    try:
        done = subprocess.call(
            command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
    except OSError:
        return False
    return done == 0


def environment() -> "dict[str, str]":
    """The variables for children: nothing that bends Python or pip away from the venv."""
    bent = ("PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VENV")
    return {name: value for name, value in os.environ.items() if name not in bent}


# -- what is done already -----------------------------------------------------------------


def fingerprint() -> str:
    """What the environment was made from; another one means: make it anew."""
    digest = hashlib.sha256(VENV.encode("utf-8", "surrogateescape"))
    for name in ("pyproject.toml", "constraints.txt", os.path.join("chatrpc", "bootstrap.py")):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    digest.update(os.path.realpath(PYTHON).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def read_stamp() -> "dict[str, str]":
    """What the last set-up left: its fingerprint, and where RabbitMQ was."""
    try:
        with open(STAMP) as file:
            stamp = json.load(file)
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def packages_done(stamp: "dict[str, str]") -> bool:
    """Whether the venv is there and made from what is here now."""
    return os.path.exists(PYTHON) and stamp.get("fingerprint") == fingerprint()


def rabbitmq_done(stamp: "dict[str, str]") -> bool:
    """Whether RabbitMQ is where it was, or is not needed."""
    if os.environ.get("CHATRPC_URL"):
        return True
    chosen = os.environ.get("RABBITMQ_BIN", stamp.get("chosen", ""))
    where = stamp.get("rabbitmq")
    return chosen == stamp.get("chosen", "") and bool(where) and os.path.exists(str(where))


def venv_fits() -> bool:
    """Whether the venv works and was made here, and not in a folder that has been moved."""
    if not fitting(PYTHON) or not _runs([PYTHON, "-c", "import pip"]):
        return False
    try:
        with open(os.path.join(VENV, "bin", "pip")) as file:
            return VENV + "/" in file.read(2000)
    except (OSError, UnicodeDecodeError):
        return False


# -- the steps ----------------------------------------------------------------------------


def make_venv() -> None:
    """Make ``.venv``, unless it is there and works."""
    if venv_fits():
        return
    python = find_python()
    if not _runs([python, "-c", "import ensurepip, venv"]):
        version = subprocess.check_output(
            [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
            universal_newlines=True,
        ).strip()
        package = f"python{version}-venv"
        if not install_by_apt([package], "Python's venv module"):
            raise Problem(
                "Python's venv module is missing. "
                f"Type `sudo apt-get install python3-venv` (or {package})."
            )
    run([python, "-m", "venv", "--clear", VENV], "making .venv")


def install_packages() -> None:
    """Install the kit and what it needs into ``.venv``, in the versions of constraints.txt."""
    with open(os.path.join(ROOT, "constraints.txt")) as file:
        total = sum(1 for line in file if "==" in line)
    command = [PYTHON, "-m", "pip", "install", "--no-input", "--progress-bar", "off"]
    command += ["--disable-pip-version-check", "--retries", "2", "--no-compile"]
    command += ["-c", "constraints.txt", "-e", ".[app,lab,test]"]
    run(command, f"installing {total} packages", packages_progress)


def packages_progress(lines: "list[str]") -> str:
    """What pip is at, out of the lines that it wrote."""
    if any(line.startswith("Installing collected") for line in lines[-3:]):
        return "all found; unpacking them"
    if lines and "Retrying" in lines[-1]:
        return "the network does not answer; trying again"
    names = [line.split()[1] for line in lines if line.startswith("Collecting ")]
    if not names:
        return ""
    newest = re.split(r"[<>=!~;\[ ]", names[-1])[0]
    return f"{len(set(names))} found, {newest} is the newest"


def install_by_apt(packages: "list[str]", what: str) -> bool:
    """Install Debian packages; False if this machine or this user cannot."""
    if not shutil.which("apt-get"):
        return False
    apt = ["apt-get"]
    if os.getuid() != 0:
        if not shutil.which("sudo"):
            return False
        if not _runs(["sudo", "-n", "true"]) and not sys.stdin.isatty():
            return False
        apt = ["sudo", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    names = " ".join(packages)
    prefix = "" if os.getuid() == 0 else "sudo "
    say(f"{what} is missing: installing it with `{prefix}apt-get install {names}`.")
    install = [*apt, "install", "-y", "--no-install-recommends", *packages]
    try:
        if os.getuid() != 0:
            subprocess.call(["sudo", "-v"])  # asks for the password here, where it can be seen
        if not _runs([*apt[:-1], "apt-cache", "show", packages[0]]):
            run([*apt, "update"], "reading the list of packages")
        try:
            run(install, "installing " + packages[0])
        except Problem:
            # An old list names files that the mirror no longer has.
            run([*apt, "update"], "reading the list of packages")
            run(install, "installing " + packages[0])
    except Problem as problem:
        say(str(problem))
        return False
    return True


def get_rabbitmq() -> str:
    """The folder of RabbitMQ's scripts; installs it where that is possible."""
    where = find_rabbitmq()
    if not where:
        if install_by_apt(["rabbitmq-server"], "RabbitMQ"):
            where = find_rabbitmq()
            if os.path.isdir("/run/systemd/system"):
                say(
                    "Debian's package has also started a RabbitMQ service. The kit does not need "
                    "it; `sudo systemctl disable --now rabbitmq-server` ends it."
                )
        if not where:
            raise Problem("RabbitMQ is missing. " + rabbitmq_advice())
    return where


def find_rabbitmq() -> str:
    """Ask the package, which knows all the places; '' if there is none."""
    code = (
        "from chatrpc.machine import rabbitmq\n"
        "try: print(rabbitmq.find().scripts)\n"
        "except rabbitmq.BrokerProblem as problem: print('!', problem.sentence)\n"
    )
    done = subprocess.check_output(
        [PYTHON, "-c", code], cwd=ROOT, env=environment(), universal_newlines=True
    ).strip()
    if done.startswith("! RABBITMQ_BIN"):
        raise Problem(done[2:])
    return "" if done.startswith("!") else done


def configure_jupyter() -> None:
    """Settings inside the venv, so that a plain ``jupyter lab`` has them too."""
    config: dict[str, object] = dict(LAB_CONFIG)
    if os.getuid() == 0:
        config["ServerApp"] = {"allow_root": True}
    settings = os.path.join(VENV, "share", "jupyter", "lab", "settings")
    write_json(os.path.join(VENV, "etc", "jupyter", "jupyter_server_config.json"), config)
    write_json(os.path.join(settings, "overrides.json"), LAB_OVERRIDES)


def get_chromium() -> None:
    """Chromium and what drives it, for the browser tests; a loud word if they cannot be had."""
    missing = []
    if not any(shutil.which(name) for name in CHROMIUM):
        missing.append("chromium")
    drivers = glob.glob(os.path.join(VENV, "lib", "python*", DRIVER))
    if drivers and not _runs([drivers[0], "--version"]):
        missing.append("libatomic1")  # the library that Playwright's driver needs
    if missing and not install_by_apt(missing, "What the browser tests need"):
        say("!! Chromium is missing and cannot be installed from here: NO BROWSER TEST WILL RUN.")


def write_json(path: str, value: object) -> None:
    """Write a file, with the folders above it."""
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        os.makedirs(folder)
    with open(path, "w") as file:
        json.dump(value, file, indent=1, sort_keys=True)


# -- running things, with progress ----------------------------------------------------------


def newest_line(lines: "list[str]") -> str:
    """What a program is at that has no better way to tell."""
    return lines[-1][:70] if lines else ""


def run(command: "list[str]", what: str, reads: "Callable[[list[str]], str]" = newest_line) -> None:
    """Run a command; its output goes to the log, and a sign of life to the person every 5 s."""
    say(f"  {what} …")
    began = told = time.time()
    doing = ""
    env = dict(environment(), DEBIAN_FRONTEND="noninteractive", LC_ALL="C.UTF-8")
    with open(LOG, "a", encoding="utf-8") as log:
        log.write("\n$ {}\n".format(" ".join(command)))
        log.flush()
        start = log.tell()
        child = subprocess.Popen(
            command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        try:
            while child.poll() is None:
                time.sleep(0.1)
                if time.time() - told >= 5:
                    told = time.time()
                    doing = reads(log_lines(start)) or doing
                    say("  … {:.0f} s{}".format(told - began, doing and ", " + doing))
        finally:
            if child.poll() is None:
                child.terminate()
                child.wait()
    if child.returncode:
        raise Problem(explain(what, log_lines(start)))


def log_lines(start: int) -> "list[str]":
    """What has come into the log since that place in it."""
    with open(LOG, encoding="utf-8", errors="replace") as file:
        file.seek(start)
        return [line.strip() for line in file if line.strip()]


def explain(what: str, lines: "list[str]") -> str:
    """Why a command failed, for a person."""
    text = "\n".join(lines)
    no_network = (
        "Temporary failure in name resolution|Temporary failure resolving|NewConnectionError|"
        "Could not resolve|Network is unreachable|Could not connect|NameResolutionError|"
        "No address associated|ConnectTimeout|Name or service not known"
    )
    if re.search(no_network, text):
        why = "the network cannot be reached. Connect, and type the same command again"
    elif "No space left on device" in text:
        why = "the disk is full. Free some room, and type the same command again"
    elif "Could not get lock" in text:
        why = "another program is installing packages. Wait for it, and type the same again"
    else:
        errors = [line for line in lines if re.match(r"(ERROR|E:|Error)", line)]
        why = (errors or lines or ["it said nothing"])[-1].strip()
    return f"{what} failed: {why}. (Everything is in {os.path.relpath(LOG)}.)"


# -- the whole ----------------------------------------------------------------------------


def set_up(for_tests: bool) -> None:
    """Do what is not done yet."""
    stamp = read_stamp()
    if not (packages_done(stamp) and rabbitmq_done(stamp)):
        lock = only_one()
        began = time.time()
        stamp = read_stamp()
        if not packages_done(stamp):
            say("Setting up the kit in .venv: once, a minute or two.")
            make_venv()
            install_packages()
            configure_jupyter()
            stamp = dict(stamp, fingerprint=fingerprint())
            write_json(STAMP, stamp)
        if not rabbitmq_done(stamp):
            where = get_rabbitmq()
            stamp = dict(stamp, rabbitmq=where, chosen=os.environ.get("RABBITMQ_BIN", ""))
            write_json(STAMP, stamp)
        say(f"Set up in {time.time() - began:.0f} s.")
        lock.close()
    if for_tests:
        get_chromium()


def only_one() -> "IO[str]":
    """Wait until no other set-up runs in this clone; the lock ends with what is returned."""
    import fcntl

    if not os.path.isdir(STATE):
        os.makedirs(STATE)
    lock = open(os.path.join(STATE, "setup.lock"), "w")  # noqa: SIM115 - the caller closes it
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        say("Another set-up of this clone is running: waiting for it.")
        fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def main(arguments: "list[str]") -> int:
    """Set up; the argument ``test`` asks for Chromium too. The result is the exit code."""
    if os.name == "nt":
        say("On Windows the kit runs in WSL2: type `wsl --install`, and clone it in there.")
        return 1
    try:
        set_up("test" in arguments)
    except Problem as problem:
        say("chatrpc: " + str(problem))
    except OSError as error:
        say(f"chatrpc: the set-up cannot write {error.filename}: {error.strerror}.")
    except KeyboardInterrupt:
        say("chatrpc: interrupted; the next try goes on from here.")
        return 130
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
