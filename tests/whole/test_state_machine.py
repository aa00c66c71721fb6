"""Any sequence of conversions, appends, repacks, imports and kills leaves what a model in memory says; seen by h5py."""

import collections
import os
import shutil
import signal
import sys
import tempfile
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from ptychoproduct import (
    ExportOptions,
    ProductWarning,
    ProductWriter,
    export_product_from_npz,
    import_product_to_npz,
    repack_product,
    validate_product,
)
from ptychoproduct.hdf5 import output as hdf5_output

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="kills of POSIX"),
    pytest.mark.filterwarnings("ignore::ptychoproduct.ProductWarning"),
]

SIDE = 6
PROBE = np.ones((SIDE, SIDE), np.complex64)
OBJECT = np.ones((32, 32), np.complex64)
CODECS = ("none", "zstd:1", "gzip:1+fletcher32", "bitshuffle-zstd:1")
PRODUCTS = st.sampled_from(["a.h5", "b.h5", "c.h5"])
ARCHIVES = st.sampled_from(["a.npz", "b.npz"])
SEEDS = st.integers(0, 2**32 - 1)
# At which step a child is killed: the N-th of its kind; where it has not so many, it is not.
MOMENTS = st.one_of(
    st.none(),
    st.tuples(st.just("write"), st.integers(1, 60)),
    st.tuples(st.sampled_from(["fsync", "before the rename", "after the rename"]), st.integers(1, 2)),
)
COUNTS = collections.Counter()


def teardown_module():
    print(dict(COUNTS))


class Steps:
    """Kills this process at a moment."""

    def __init__(self, moment):
        self.kind, self.left = moment

    def take(self, kind):
        self.left -= kind == self.kind
        if kind == self.kind and self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def install(self):
        original, fsync, replace, steps = hdf5_output.OutputFile, os.fsync, Path.replace, self

        class Output:
            def __init__(self, descriptor):
                self.real = original(descriptor)

            def __getattr__(self, name):
                return getattr(self.real, name)

            def write(self, data):
                steps.take("write")
                return self.real.write(data)

        hdf5_output.OutputFile = Output
        os.fsync = lambda descriptor: (steps.take("fsync"), fsync(descriptor))[1]

        def replace_in_steps(path, target):
            steps.take("before the rename")
            replace(path, target)
            steps.take("after the rename")

        Path.replace = replace_in_steps


def killed_at(moment, work):
    """Do some work in a child that is killed; return whether it was not, and ended well."""
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        code = 1
        try:
            Steps(moment).install()
            work()
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    assert status in (0, signal.SIGKILL), status
    return status == 0


def frames_of(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 9))
    return rng.integers(0, 50, (count, SIDE, SIDE)).astype(np.float32), rng.uniform(8, 24, (2, count))


def same(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


class Files(RuleBasedStateMachine):
    @initialize(seed=SEEDS)
    def begin(self, seed):
        self.folder = Path(tempfile.mkdtemp())
        self.model = {}
        self.after_kills = set()
        frames, (x, y) = frames_of(seed)
        np.savez(self.folder / "a.npz", diff3d=frames, xcoords=x, ycoords=y, probeGuess=PROBE, objectGuess=OBJECT)
        self.model["a.npz"] = (frames, x, y)
        self.convert("a.h5", "a.npz", "none", None)

    def teardown(self):
        if hasattr(self, "folder"):
            shutil.rmtree(self.folder)

    def write(self, name, content, moment, work):
        """Do what writes a file, killed or not, and bring the model up to date."""
        if moment is None:
            work()
            done = True
        else:
            done = killed_at(moment, work)
        COUNTS["done" if done else "killed"] += 1
        if done:
            self.model[name] = content
            self.after_kills.discard(name)
            return
        self.after_kills.add(name)
        if (self.folder / name).exists() and not (name in self.model and same(self.read(name), self.model[name])):
            COUNTS["killed after the rename"] += 1
            self.model[name] = content

    def read(self, name):
        if name.endswith(".npz"):
            with np.load(self.folder / name) as file:
                return file["diff3d"], file["xcoords"], file["ycoords"]
        with h5py.File(self.folder / name) as file:
            return tuple(file[f"raw_data/{key}"][:] for key in ("diffraction", "xcoords", "ycoords"))

    @rule(name=PRODUCTS, seeds=st.lists(SEEDS, min_size=1, max_size=4), codec=st.sampled_from(CODECS), moment=MOMENTS)
    def append(self, name, seeds, codec, moment):
        parts = [frames_of(seed) for seed in seeds]

        def work():
            with ProductWriter(self.folder / name, options=ExportOptions(compression=codec, chunk_frames=2)) as writer:
                writer.set_probe(PROBE)
                writer.set_object(OBJECT)
                for frames, (x, y) in parts:
                    writer.append(frames, x, y)

        whole = np.concatenate([frames for frames, _ in parts]), *np.concatenate([xy for _, xy in parts], axis=1)
        self.write(name, whole, moment, work)

    def one_of(self, data, suffix):
        """Draw a file that is there."""
        return data.draw(st.sampled_from(sorted(name for name in self.model if name.endswith(suffix))))

    @rule(name=PRODUCTS, data=st.data(), codec=st.sampled_from(CODECS), moment=MOMENTS)
    def convert_one(self, name, data, codec, moment):
        self.convert(name, self.one_of(data, ".npz"), codec, moment)

    def convert(self, name, source, codec, moment):
        options = ExportOptions(compression=codec)
        self.write(
            name,
            self.model[source],
            moment,
            lambda: export_product_from_npz(self.folder / source, self.folder / name, options=options),
        )

    @rule(name=PRODUCTS, data=st.data(), codec=st.sampled_from(CODECS), moment=MOMENTS)
    def repack(self, name, data, codec, moment):
        source = self.one_of(data, ".h5")
        if source != name:
            options = ExportOptions(compression=codec)
            self.write(
                name,
                self.model[source],
                moment,
                lambda: repack_product(self.folder / source, self.folder / name, options=options),
            )

    @rule(name=ARCHIVES, data=st.data(), moment=MOMENTS)
    def import_(self, name, data, moment):
        source = self.one_of(data, ".h5")
        self.write(
            name, self.model[source], moment, lambda: import_product_to_npz(self.folder / source, self.folder / name)
        )

    @rule(name=PRODUCTS, seed=SEEDS)
    def fail(self, name, seed):
        frames, (x, y) = frames_of(seed)

        def work():
            with ProductWriter(self.folder / name) as writer:
                writer.append(frames, x, y)
                raise InterruptedError

        with pytest.raises(InterruptedError):
            work()
        self.after_kills.discard(name)  # leftovers of the same output go first

    @rule(data=st.data())
    def reopen(self, data):
        assert validate_product(self.folder / self.one_of(data, ".h5"), deep=True).is_valid

    @invariant()
    def files_are_the_model(self):
        if not hasattr(self, "folder"):
            return
        there = {path.name for path in self.folder.iterdir() if not path.name.startswith(".ptychoproduct-")}
        assert there == set(self.model)
        for name, content in self.model.items():
            assert same(self.read(name), content), name
        if not self.after_kills:
            assert len(list(self.folder.iterdir())) == len(self.model), "leftovers"


with warnings.catch_warnings():
    warnings.simplefilter("ignore", ProductWarning)
    TestFiles = Files.TestCase
TestFiles.settings = settings(
    max_examples=25, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
