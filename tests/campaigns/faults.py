"""Every call that touches a file fails once, or the process is killed at it; then it is looked at what is there.

    python tests/campaigns/faults.py              all calls of all commands
    python tests/campaigns/faults.py --every 10   each tenth

SQLite's way: the N-th write, fsync, rename, read, large malloc fails, N = 1, 2, ... until none does. After each, an
output is absent, what it was before, or complete; a command that failed has said so in one line and left nothing beside
it; after a kill, the next run leaves nothing. Crash images: writes and fsyncs of a run are logged, and what a disk may
hold after each of them is looked at, with the writes that no fsync has followed, without them, and with some of them.
The calls are those of C's library: Linux only.
"""

import argparse
import collections
import contextlib
import ctypes
import errno
import hashlib
import io
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

WRITE, SYNC, NAME, READ, SIZE, CREATE, MEMORY = (1 << bit for bit in range(7))
FAIL_ONCE, FAIL_FROM, SHORT, KILL, TEAR = range(5)
ALL = WRITE | SYNC | NAME | SIZE | CREATE
# What is done at the N-th of which calls.
FAULTS = {
    "write fails": (WRITE, FAIL_ONCE, errno.EIO),
    "disk is full": (WRITE | SIZE | CREATE, FAIL_FROM, errno.ENOSPC),
    "write is short": (WRITE, SHORT, 0),
    "fsync fails": (SYNC, FAIL_ONCE, errno.EIO),
    "name fails": (NAME, FAIL_ONCE, errno.EIO),
    "size fails": (SIZE, FAIL_ONCE, errno.EIO),
    "creation fails": (CREATE, FAIL_ONCE, errno.EACCES),
    "read fails": (READ, FAIL_ONCE, errno.EIO),
    "read is short": (READ, SHORT, 0),
    "no memory": (MEMORY, FAIL_ONCE, errno.ENOMEM),
    "kill": (ALL, KILL, 0),
    "kill in the middle of a write": (WRITE, TEAR, 0),
}
KILLS = (KILL, TEAR)
# Words of the commands, and the files that they make. OLD: these are there before, of another scan.
COMMANDS = {
    "convert": (["convert", "in/scan.npz", "out/scan.h5", "--no-physics"], ["scan.h5"]),
    "convert --verify": (
        ["convert", "in/scan.npz", "out/a/scan.h5", "--verify", "--digest", "--no-physics"],
        ["a/scan.h5"],
    ),
    "import": (["import", "in/scan.h5", "out/scan.npz"], ["scan.npz"]),
    "import for ptychodus": (["import", "in/scan.h5", "out/scan.npz", "--keys", "ptychodus"], ["scan.npz"]),
    "import as CXI": (["import", "in/scan.h5", "out/scan.cxi"], ["scan.cxi"]),
    "import as JSON": (["import", "in/scan.h5", "out/scan.json"], ["scan.json"]),
    "repack": (["repack", "in/scan.h5", "out/scan.h5", "--compression", "zstd:1"], ["scan.h5"]),
    "merge": (["merge", "in/scan.shards.h5", "out/scan.h5"], ["scan.h5"]),
    "standard layout": (
        ["convert", "in/scan.npz", "--standard-layout", "out", "--no-physics"],
        ["product.h5", "diffraction.h5"],
    ),
}
PAIR = ("product.h5", "diffraction.h5")


class Campaign:
    """The folder in which all is done, the preloaded library, and what has been counted."""

    def __init__(self, folder, library):
        self.folder = folder
        self.library = ctypes.CDLL(library)
        self.library.faults_set.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_int]
        self.counts = collections.Counter()
        self.failures = []

    def run(self, words, calls=0, at=0, action=0, number=0, log=-1):
        """Run a command in a child; give its exit code, its standard error, and whether it was struck."""
        self.library.faults_set(calls, at, action, number, log)
        with tempfile.TemporaryFile() as printed:
            child = os.fork()
            if child == 0:
                signal.alarm(600)  # on a busy machine, a cluster for shards takes long to start
                os.chdir(self.folder)
                os.dup2(printed.fileno(), 2)
                os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
                sys.stderr, sys.stdout = open(2, "w", closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
                sys.argv = ["ptychoproduct", *words, "--quiet"]
                _end_as_a_program()
            status = os.waitpid(child, 0)[1]
            fired = bool(self.library.faults_fired())
            self.library.faults_set(0, 0, 0, 0, -1)
            printed.seek(0)
            return os.waitstatus_to_exitcode(status), printed.read().decode(errors="replace"), fired

    def outputs(self):
        """Return the bytes of all files in the output folder, by name."""
        out = self.folder / "out"
        return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def restore(self, files):
        """Make the output folder what it was."""
        shutil.rmtree(self.folder / "out", ignore_errors=True)
        (self.folder / "out").mkdir()
        for name, data in files.items():
            (self.folder / "out" / name).parent.mkdir(exist_ok=True)
            (self.folder / "out" / name).write_bytes(data)

    def fail(self, *what):
        """Note a violation of what is promised."""
        self.failures.append(": ".join(map(str, what)))
        print("VIOLATION:", self.failures[-1], flush=True)


def _end_as_a_program():
    from ptychoproduct_cli.main import main
    from ptychoproduct_cli.signals import tell_of_error

    code = 1
    try:
        main()
    except SystemExit as error:
        code = error.code or 0
    except BaseException as error:
        tell_of_error(type(error), error, error.__traceback__)
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.flush()
    os._exit(code)


def check(campaign, where, old, new, calls, *, killed):
    """Look at the outputs: each absent, old or new, and of a pair both, or it is noticed."""
    found = campaign.outputs()
    states = {}
    for name, data in new.items():
        states[name] = {None: "absent", old.get(name): "old", data: "new"}.get(found.get(name), "DAMAGED")
        if states[name] == "DAMAGED" and same_arrays(found[name], data):
            states[name] = "new"
            campaign.counts["stored otherwise"] += 1
        if name not in found:
            states[name] = "absent" if name not in old else "LOST"
        if states[name] in ("DAMAGED", "LOST"):
            campaign.fail(where, name, states[name])
    campaign.counts["destinations"] += len(new)
    if len(set(states.values())) > 1:
        campaign.counts["mixed pairs"] += 1
        if not killed:
            campaign.fail(where, "mixed without a kill", states)
        elif "absent" not in states.values() and not is_told_of(campaign):
            campaign.fail(where, "a mixed pair that nobody notices")
    left = sorted(set(found) - set(new) - set(old))
    if left and not killed and calls != NAME:  # what cannot be removed stays
        campaign.fail(where, "left behind", left)
    campaign.counts["leftovers until the next run"] += len(left)
    return states


def same_arrays(one, other):
    """Whether two HDF5 files hold the same: without memory for a filter, HDF5 stores a chunk as it is."""
    import h5py

    contents = []
    for data in (one, other):
        found = {}
        try:
            with h5py.File(io.BytesIO(data)) as file:
                file.visititems(
                    lambda name, item, found=found: found.update(
                        {name: item[()].tobytes() if isinstance(item, h5py.Dataset) and item.shape else None}
                    )
                )
        except (OSError, RuntimeError):
            return False
        contents.append(found)
    return contents[0] == contents[1]


def is_told_of(campaign):
    """Whether a pair is known to be mixed, of two scans that are not the same."""
    from ptychoproduct.validation.mixed_pairs import mixed_pair

    problem = mixed_pair(*(campaign.folder / "out" / name for name in PAIR))
    return problem is not None and problem.severity == "error"


def strike_all(campaign, command, words, old, new, every):
    """Let each call fail, one after the other."""
    for title, (calls, action, number) in FAULTS.items():
        met = 0
        at = 1
        while True:
            where = f"{command}: {title}: call {at}"
            campaign.restore(old)
            code, printed, fired = campaign.run(words, calls, at, action, number)
            if not fired:
                break
            met += 1
            killed = action in KILLS
            if "Traceback" in printed or (code < 0 and not killed) or len(printed.splitlines()) > 1:
                campaign.fail(where, f"ended with {code}", printed[-600:])
            states = check(campaign, where, old, new, calls, killed=killed)
            if not killed and code == 0 and set(states.values()) != {"new"}:
                campaign.fail(where, "success without the output", states)
            if not killed and code != 0 and not printed.strip():
                campaign.fail(where, "failed without a word")
            if killed or calls == NAME:
                after_kill(campaign, where, words, new)
            at += every
        campaign.counts[title] += met
        print(f"{command}: {title}: {met} times", flush=True)


def after_kill(campaign, where, words, new):
    """Run the command once more: it succeeds, and nothing else is left."""
    code, printed, _ = campaign.run(words)
    found = campaign.outputs()
    if code != 0 or any(found.get(name) != data for name, data in new.items()):
        campaign.fail(where, "the next run", code, printed)
    if set(found) - set(new):
        campaign.fail(where, "left after the next run", sorted(set(found) - set(new)))


class Disk:
    """What a disk holds after a number of logged calls: with all writes, or with those only that were synced."""

    def __init__(self, files):
        self.names = {str(name): ("old", name) for name in files}  # to the file's identity
        self.all = {("old", name): bytearray(data) for name, data in files.items()}
        self.synced = {key: bytes(data) for key, data in self.all.items()}
        self.pending = collections.defaultdict(list)

    def step(self, letter, *arguments):
        """Do one call, as `log_entries` gives it."""
        if letter in "CE":
            inode, path = arguments
            key = self.names.get(path)
            if key is None or letter == "E":
                if key is None:
                    key = self.names[path] = (inode, len(self.all))
                self.all[key] = bytearray()
                self.synced[key] = b""
        elif letter == "W":
            key, offset, data = self.key(arguments[0]), *arguments[1:]
            _write(self.all[key], offset, data)
            self.pending[key].append((offset, data))
        elif letter == "T":
            key, size = self.key(arguments[0]), arguments[1]
            _resize(self.all[key], size)
            self.pending[key].append((size, None))
        elif letter == "S":
            key = self.key(arguments[0])
            if key is not None:
                self.synced[key] = bytes(self.all[key])
                self.pending[key].clear()
        elif letter == "R":
            self.names[arguments[1]] = self.names.pop(arguments[0])
        elif letter == "L":
            self.names[arguments[1]] = self.names[arguments[0]]
        elif letter == "U":
            self.names.pop(arguments[0], None)

    def key(self, inode):
        """Return the latest file of an inode; None for a folder."""
        return next((key for key in reversed(self.all) if key[0] == inode), None)

    def contents(self, path, generator):
        """Give what a file may hold: all writes, the synced ones, and these with some of the others."""
        key = self.names.get(path)
        if key is None:
            return
        yield "all writes", bytes(self.all[key])
        yield "synced writes", self.synced[key]
        if self.pending[key]:
            some = bytearray(self.synced[key])
            for offset, data in self.pending[key]:
                if generator.random() < 0.5:
                    _resize(some, offset) if data is None else _write(some, offset, data)
            yield "some writes", bytes(some)


def _write(content, offset, data):
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _resize(content, size):
    del content[size:]
    content.extend(bytes(size - len(content)))


def log_entries(data):
    """Give the calls of a log, each as a letter and its arguments."""
    at = 0
    while at < len(data):
        end = data.index(b"\n", at)
        letter, _, rest = data[at:end].decode(errors="surrogateescape").partition(" ")
        at = end + 1
        if letter == "W":
            inode, offset, size = map(int, rest.split())
            yield letter, inode, offset, data[at : at + size]
            at += size
        elif letter in "RL":
            yield letter, *rest.split("\t")
        elif letter in "CE":
            inode, _, path = rest.partition(" ")
            yield letter, int(inode), path
        elif letter in "UMD":
            yield letter, rest.rstrip("\t")
        else:
            yield letter, *map(int, rest.split())


def crash_images(campaign, command, words, old, new):
    """Look at what a disk may hold after each call of a run."""
    campaign.restore(old)
    generator = random.Random(12)
    with tempfile.TemporaryFile(dir=campaign.folder.parent) as log:
        code, printed, _ = campaign.run(words, log=log.fileno())
        log.seek(0)
        entries = list(log_entries(log.read()))
    out = campaign.folder / "out"
    if code != 0 or campaign.outputs() != new:
        campaign.fail(command, "crash images", "the logged run failed", printed)
    disk = Disk({str(out / name): data for name, data in old.items()})
    hashes = {name: {hashlib.sha256(data).digest() for data in (old.get(name), new[name]) if data} for name in new}
    for number, entry in enumerate(entries, 1):
        disk.step(*entry)
        for name in new:
            if name in old and str(out / name) not in disk.names:
                campaign.fail(command, "crash images", f"after call {number}", name, "is lost")
            for which, content in disk.contents(str(out / name), generator):
                campaign.counts["crash images"] += 1
                if hashlib.sha256(content).digest() not in hashes[name]:
                    campaign.fail(command, "crash images", f"after call {number} of {len(entries)}", name, which)
    for name in new:
        if next(disk.contents(str(out / name), generator))[1] != new[name]:
            campaign.fail(command, "crash images", "the log does not give the file", name)
    print(f"{command}: crash images after each of {len(entries)} calls", flush=True)


def prepare(campaign, with_shards):
    """Make the inputs."""
    for name, seed in (("scan", 1), ("other", 2)):
        words = ["simulate", f"in/{name}.npz", "--frames", "24", "--size", "32", "--seed", str(seed)]
        convert = ["convert", f"in/{name}.npz", f"in/{name}.h5"]
        shards = [*convert[:2], f"in/{name}.shards.h5", "--shards", "2", "--cluster", "local:1"]
        for line in (words, convert, shards) if with_shards else (words, convert):
            code, printed, _ = campaign.run(line)
            assert code == 0, printed


def serve(folder, library, commands, every):
    """Do the campaign; everything is imported before the children are made."""
    import h5py  # noqa: F401
    import numpy  # noqa: F401

    import ptychoproduct
    import ptychoproduct_cli.main  # noqa: F401

    for name in ptychoproduct.__all__:
        getattr(ptychoproduct, name)
    warnings.simplefilter("ignore")
    campaign = Campaign(folder, library)
    (folder / "in").mkdir(parents=True)
    prepare(campaign, "merge" in commands)
    started = time.perf_counter()
    for command in commands:
        words, names = COMMANDS[command]
        campaign.restore({})
        code, printed, _ = campaign.run([word.replace("scan.", "other.", word.startswith("in/")) for word in words])
        assert code == 0, printed
        old = campaign.outputs()
        campaign.restore({})
        code, printed, _ = campaign.run(words)
        assert code == 0, printed
        new = campaign.outputs()
        assert set(new) == set(old) == set(names)
        assert all(new[name] != old[name] for name in names)
        for before in ({}, old):
            title = f"{command}, {'replacing' if before else 'new'}"
            crash_images(campaign, title, words, before, new)
            strike_all(campaign, title, words, before, new, every)
    print(f"{time.perf_counter() - started:.0f} s: {dict(campaign.counts)}")
    print(f"{len(campaign.failures)} violations")
    return 1 if campaign.failures else 0


def main():
    """Build the library, and begin again with it preloaded."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=int, default=1, metavar="N", help="strike each N-th call only (default: 1)")
    parser.add_argument("--commands", nargs="*", choices=COMMANDS, default=list(COMMANDS), help="(default: all)")
    parser.add_argument("--without", nargs="*", choices=FAULTS, default=[], help="faults that are left out")
    parser.add_argument("--served", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    for title in arguments.without:
        del FAULTS[title]
    if arguments.served:
        sys.exit(serve(*map(Path, arguments.served), arguments.commands, arguments.every))
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "faults.so"
        source = Path(__file__).with_name("faults.c")
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl", "-lpthread"], check=True)
        work = Path(folder).resolve() / "work"
        environment = os.environ | {"LD_PRELOAD": str(library), "FAULT_ROOT": str(work)}
        command = [sys.executable, __file__, *sys.argv[1:], "--served", work, library]
        sys.exit(subprocess.run(command, env=environment, check=False).returncode)


if __name__ == "__main__":
    main()
