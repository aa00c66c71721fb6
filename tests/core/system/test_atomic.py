"""Outputs are complete or absent."""

import errno
import os
import shutil
import signal
import stat
import subprocess
import sys

import pytest

from ptychoproduct.errors import OutputError, ProductWarning
from ptychoproduct.system.atomic import atomic_output, completed, output_group, writing_errors
from ptychoproduct.system.part_files import remove_leftovers


def write(path, meanwhile=None, **options):
    with atomic_output(path, **options) as part:
        part.write_text("new")
        if meanwhile:
            meanwhile()


def write_and_fail(path, error):
    with atomic_output(path) as part:
        part.write_text("half")
        raise error


@pytest.fixture
def existing(tmp_path):
    path = tmp_path / "product.h5"
    path.write_text("old")
    return path


def test_the_file_appears_when_the_block_ends(tmp_path):
    write(tmp_path / "product.h5")
    assert (tmp_path / "product.h5").read_text() == "new"


def test_nothing_else_stays_in_the_folder(tmp_path):
    write(tmp_path / "product.h5")
    assert [path.name for path in tmp_path.iterdir()] == ["product.h5"]


def test_the_file_is_not_there_before_the_block_ends(tmp_path):
    with atomic_output(tmp_path / "product.h5") as part:
        part.write_text("half")
        assert not (tmp_path / "product.h5").exists()


def test_the_part_lies_in_the_same_folder(tmp_path):
    with atomic_output(tmp_path / "product.h5") as part:
        assert part.parent == tmp_path.resolve()


def test_an_existing_file_stays_whole_until_the_block_ends(existing):
    with atomic_output(existing) as part:
        part.write_text("half")
        assert existing.read_text() == "old"


def test_an_existing_file_is_replaced(existing):
    write(existing)
    assert existing.read_text() == "new"


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt(), SystemExit(1)], ids=repr)
def test_an_error_leaves_no_file(tmp_path, error):
    with pytest.raises(type(error)):
        write_and_fail(tmp_path / "product.h5", error)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [RuntimeError("no"), KeyboardInterrupt(), OSError(28, "No space left on device")], ids=repr
)
def test_an_error_leaves_the_existing_file(existing, error):
    with pytest.raises((type(error), OutputError)):
        write_and_fail(existing, error)
    assert [(path.name, path.read_text()) for path in existing.parent.iterdir()] == [("product.h5", "old")]


def test_a_full_disk_is_an_output_error_that_says_so(tmp_path):
    with (
        pytest.raises(OutputError, match=r"product\.h5.*No space left on device"),
        writing_errors(tmp_path / "product.h5"),
    ):
        raise OSError(28, "No space left on device")


def test_an_error_of_the_block_stays_what_it_is(tmp_path):
    with pytest.raises(ConnectionError):
        write_and_fail(tmp_path / "product.h5", ConnectionError("detector"))


def test_an_existing_file_is_kept_where_it_may_not_be_replaced(existing):
    with pytest.raises(OutputError, match="exists already"):
        write(existing, overwrite=False)
    assert existing.read_text() == "old"


def test_a_new_file_is_written_where_none_may_be_replaced(tmp_path):
    write(tmp_path / "product.h5", overwrite=False)
    assert (tmp_path / "product.h5").read_text() == "new"


def test_a_file_that_appears_meanwhile_is_kept_where_it_may_not_be_replaced(tmp_path):
    path = tmp_path / "product.h5"
    with pytest.raises(OutputError, match="exists already"):
        write(path, meanwhile=lambda: path.write_text("other"), overwrite=False)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("product.h5", "other")]


def test_missing_folders_are_made(tmp_path):
    write(tmp_path / "a" / "b" / "product.h5")
    assert (tmp_path / "a" / "b" / "product.h5").read_text() == "new"


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_folder_is_no_destination(tmp_path, overwrite):
    with pytest.raises(OutputError, match="is a folder"):
        write(tmp_path, overwrite=overwrite)


def test_a_folder_below_a_file_is_no_destination(existing):
    with pytest.raises(OutputError, match="cannot be written"):
        write(existing / "product.h5")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_destination_that_is_no_regular_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError):
        write(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_the_source_is_no_destination(existing):
    with pytest.raises(OutputError, match="the input itself"):
        write(existing, sources=(existing,))
    assert existing.read_text() == "old"


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_link_to_the_source_is_no_destination(existing, link):
    other = existing.with_name("other.h5")
    link(existing, other)
    with pytest.raises(OutputError, match="the input itself"):
        write(other, sources=(existing,))
    assert existing.read_text() == "old"


def test_a_link_to_the_source_that_appears_meanwhile_is_no_destination(existing):
    other = existing.with_name("other.h5")
    with pytest.raises(OutputError, match="the input itself"):
        write(other, meanwhile=lambda: os.link(existing, other), sources=(existing,))
    assert existing.read_text() == "old"


def test_another_file_than_the_source_is_a_destination(existing):
    write(existing.with_name("other.h5"), sources=(existing, existing.with_name("missing.npz")))
    assert existing.with_name("other.h5").read_text() == "new"


def test_a_symbolic_link_stays_and_its_target_is_replaced(existing):
    link = existing.with_name("link.h5")
    link.symlink_to(existing.name)
    write(link)
    assert (link.is_symlink(), existing.read_text()) == (True, "new")


def test_a_symbolic_link_to_nothing_gets_its_target(tmp_path):
    link = tmp_path / "link.h5"
    link.symlink_to("target.h5")
    write(link)
    assert (link.is_symlink(), (tmp_path / "target.h5").read_text()) == (True, "new")


def test_a_loop_of_symbolic_links_is_an_output_error(tmp_path):
    link = tmp_path / "link.h5"
    link.symlink_to("link.h5")
    with pytest.raises(OutputError):
        write(link)


@pytest.mark.parametrize("name", ["a" * 255, "測" * 85, "é" * 127, "a b\t'\"", "-rf", ".hidden", "%s{}"])
def test_names_as_long_and_odd_as_the_file_system_takes_can_be_written(tmp_path, name):
    write(tmp_path / name)
    assert (tmp_path / name).read_text() == "new"


def test_a_name_that_is_too_long_is_an_output_error(tmp_path):
    with pytest.raises(OutputError):
        write(tmp_path / ("a" * 256))
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_has_the_permissions_that_the_user_gives_new_files(tmp_path):
    old = os.umask(0o027)
    try:
        write(tmp_path / "product.h5")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "product.h5").stat().st_mode) == 0o640


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_not_writable_is_an_output_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        write(tmp_path / "product.h5")


def test_a_replaced_file_keeps_its_permissions(existing):
    existing.chmod(0o604)
    write(existing)
    assert (existing.read_text(), stat.S_IMODE(existing.stat().st_mode)) == ("new", 0o604)


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="no extended attributes here")
def test_a_replaced_file_keeps_its_attributes(existing):
    try:
        os.setxattr(existing, "user.note", b"mine")
    except OSError:
        pytest.skip("no extended attributes on this file system")
    write(existing)
    assert os.getxattr(existing, "user.note") == b"mine"


def test_a_disk_that_does_not_know_fsync_keeps_the_file_and_is_told_of(tmp_path, monkeypatch):
    def no_fsync(_):
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", no_fsync)
    with pytest.warns(ProductWarning, match="fsync"):
        write(tmp_path / "product.h5")
    assert (tmp_path / "product.h5").read_text() == "new"


def test_a_disk_that_fails_at_fsync_is_an_output_error(tmp_path, monkeypatch):
    def failing_fsync(_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing_fsync)
    with pytest.raises(OutputError, match="Input/output error"):
        write(tmp_path / "product.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_removed_meanwhile_is_an_output_error(tmp_path):
    folder = tmp_path / "out"
    with pytest.raises(OutputError, match=r"product\.h5: cannot be written"):
        write(folder / "product.h5", meanwhile=lambda: shutil.rmtree(folder))


KILLED = """
import os, signal, sys
from pathlib import Path
from ptychoproduct.system.part_files import remove_leftovers
from ptychoproduct.system.atomic import atomic_output
with atomic_output(Path(sys.argv[1])) as part:
    part.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no signal that kills")
def test_what_a_killed_run_has_left_is_removed_by_the_next_one_of_the_same_output(tmp_path):
    for name in ("product.h5", "other.h5"):
        subprocess.run([sys.executable, "-c", KILLED, tmp_path / name], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    write(tmp_path / "product.h5")
    (left,) = [path.read_text() for path in tmp_path.iterdir() if path.name != "product.h5"]
    assert left == "half"  # of another output, and none of ours to remove
    write(tmp_path / "other.h5")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.h5", "product.h5"]


def test_two_runs_of_one_output_leave_each_other_alone(existing):
    with atomic_output(existing) as part:
        part.write_text("first")
        write(existing)
        assert part.exists()
        assert existing.read_text() == "new"
    assert [(path.name, path.read_text()) for path in existing.parent.iterdir()] == [("product.h5", "first")]


def test_outputs_of_a_group_are_held_until_all_appear(tmp_path):
    with output_group() as group:
        with atomic_output(tmp_path / "a.h5", group=group) as part:
            part.write_text("whole")
        write(tmp_path / "a.h5")
        assert part.exists()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.h5", "whole")]


@pytest.mark.parametrize("moment", ["old", "new"])
def test_a_kill_without_hard_links_never_takes_the_old_file_away(tmp_path, existing, monkeypatch, moment):
    def no_links(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    seen = []
    replace = type(existing).replace

    def look(self, target):
        if moment == "new":
            replace(self, target)
        seen.append(existing.read_text())  # what a kill at this moment would leave
        if moment == "old":
            replace(self, target)

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(type(existing), "replace", look)
    write_together(existing, tmp_path / "other.h5")
    assert seen[0] == moment


def write_together(*paths, meanwhile=None, **options):
    with output_group() as group:
        for path in paths:
            with atomic_output(path, group=group, **options) as part:
                part.write_text("new")
            assert not path.exists() or path.read_text() == "old"
        if meanwhile:
            meanwhile()


def test_outputs_of_a_group_appear_together(tmp_path, existing):
    write_together(existing, tmp_path / "other.h5")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"product.h5": "new", "other.h5": "new"}


def test_no_output_of_a_group_appears_after_an_error(tmp_path, existing):
    with pytest.raises(ZeroDivisionError):
        write_together(existing, tmp_path / "other.h5", meanwhile=lambda: 1 / 0)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("product.h5", "old")]


@pytest.mark.parametrize("links", [True, False], ids=["hard links", "no hard links"])
@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()], ids=repr)
def test_what_has_appeared_goes_back_where_a_later_one_fails(tmp_path, existing, monkeypatch, error, links):
    replace = type(existing).replace

    def fail_at_the_last(self, target):
        if target.name == "last.h5":
            raise error
        return replace(self, target)

    def no_links(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(type(existing), "replace", fail_at_the_last)
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    with pytest.raises((OutputError, KeyboardInterrupt)):
        write_together(existing, tmp_path / "new.h5", tmp_path / "last.h5")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("product.h5", "old")]


def test_a_destination_that_came_meanwhile_keeps_all_of_a_group_from_appearing(tmp_path, existing):
    with pytest.raises(OutputError, match="is a folder"):
        write_together(existing, tmp_path / "other.h5", meanwhile=(tmp_path / "other.h5").mkdir)
    assert existing.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.h5", "product.h5"]


def test_two_outputs_of_a_group_cannot_have_one_name(tmp_path):
    with pytest.raises(OutputError, match="another output"):
        write_together(tmp_path / "product.h5", tmp_path / "." / "product.h5")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("last", ["product.h5", "other.h5"])
def test_a_signal_between_the_renames_waits_until_all_outputs_have_their_names(
    tmp_path, existing, monkeypatch, moment, last
):
    replace = type(existing).replace

    def interrupt(self, target):
        if moment == "after":
            replace(self, target)
        if target.name == last:
            signal.raise_signal(signal.SIGINT)
        if moment == "before":
            replace(self, target)

    monkeypatch.setattr(type(existing), "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_together(existing, tmp_path / "other.h5")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"product.h5": "new", "other.h5": "new"}
    assert list(completed)[-2:] == [existing, tmp_path / "other.h5"]


@pytest.mark.parametrize("mode", [0o444, 0o400])
def test_a_read_only_file_is_not_replaced_unless_forced(existing, mode):
    existing.chmod(mode)
    with pytest.raises(OutputError, match="is read-only; force replaces it"):
        write(existing)
    assert existing.read_text() == "old"
    write(existing, force=True)
    assert (existing.read_text(), stat.S_IMODE(existing.stat().st_mode)) == ("new", mode)


def test_force_does_not_replace_what_is_to_be_kept(existing):
    existing.chmod(0o444)
    with pytest.raises(OutputError, match="exists already"):
        write(existing, overwrite=False, force=True)


def test_a_file_that_becomes_read_only_meanwhile_is_kept(existing):
    with pytest.raises(OutputError, match="read-only"):
        write(existing, meanwhile=lambda: existing.chmod(0o444))
    assert [(path.name, path.read_text()) for path in existing.parent.iterdir()] == [("product.h5", "old")]


@pytest.mark.skipif(not hasattr(os, "chown") or os.geteuid() != 0, reason="only the administrator may give files away")
def test_a_replaced_file_keeps_its_owner_and_group(existing):
    os.chown(existing, 12345, 23456)
    write(existing)
    assert (existing.stat().st_uid, existing.stat().st_gid) == (12345, 23456)


def test_a_replaced_file_keeps_its_access_control_list(existing):
    if shutil.which("setfacl") is None:
        pytest.skip("setfacl is not installed")
    if subprocess.run(["setfacl", "-m", "u:12345:rw", existing], capture_output=True, check=False).returncode:
        pytest.skip("no access control lists on this file system")
    write(existing)
    listed = subprocess.run(["getfacl", "-cn", existing], capture_output=True, text=True, check=True).stdout
    assert "user:12345:rw-" in listed


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()], ids=repr)
def test_folders_that_were_made_for_a_failed_output_are_removed(tmp_path, error):
    (tmp_path / "there").mkdir()
    with pytest.raises(type(error)):
        write_and_fail(tmp_path / "there" / "a" / "b" / "product.h5", error)
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_folders_that_were_made_for_a_failed_group_are_removed(tmp_path):
    folder = tmp_path / "a" / "b"
    with pytest.raises(ZeroDivisionError):
        write_together(folder / "product.h5", folder / "other.h5", meanwhile=lambda: 1 / 0)
    assert list(tmp_path.iterdir()) == []


def test_folders_that_others_use_meanwhile_stay(tmp_path):
    folder = tmp_path / "a" / "b"
    with pytest.raises(ZeroDivisionError):
        write_together(folder / "product.h5", meanwhile=lambda: (folder.parent / "theirs").touch() or 1 / 0)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["theirs"]


def test_new_folders_and_those_above_them_are_synced(tmp_path, monkeypatch):
    synced = []
    fsync = os.fsync

    def note(descriptor):
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    write(tmp_path / "a" / "b" / "product.h5")
    for path in (tmp_path / "a" / "b" / "product.h5", tmp_path / "a" / "b", tmp_path / "a", tmp_path):
        assert path.stat().st_ino in synced


@pytest.mark.parametrize("step", ["os.open", "fcntl.flock", "Path.exists"])
def test_an_interruption_at_the_first_moment_leaves_nothing(tmp_path, monkeypatch, step):
    fcntl = pytest.importorskip("fcntl")
    owner, name = {"os": os, "fcntl": fcntl, "Path": type(tmp_path)}[step.split(".")[0]], step.split(".")[1]
    original = getattr(owner, name)

    def interrupted(*arguments, **keywords):
        result = original(*arguments, **keywords)
        if list(tmp_path.glob(".ptychoproduct-*")):
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(owner, name, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "product.h5")
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_no_signal_waits_while_an_old_file_is_copied(tmp_path, existing, monkeypatch):
    def no_links(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    def interrupted(*_):
        signal.raise_signal(signal.SIGINT)
        pytest.fail("the signal waited")

    monkeypatch.setattr(os, "link", no_links)
    monkeypatch.setattr(shutil, "copy2", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_together(existing, tmp_path / "other.h5")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("product.h5", "old")]


def test_a_part_file_that_another_run_removes_before_it_is_held_is_made_again(existing, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    flock, removed = fcntl.flock, []

    def removed_by_another(descriptor, operation):
        if operation == fcntl.LOCK_SH and not removed:
            removed.extend(remove_leftovers(existing))
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", removed_by_another)
    write(existing)
    assert len(removed) == 1
    assert [(path.name, path.read_text()) for path in existing.parent.iterdir()] == [("product.h5", "new")]


def test_a_leftover_is_removed_while_it_is_locked(existing, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    left = existing.with_name("left")
    with atomic_output(existing) as part:
        shutil.copy(part, left)
        name = part
    left.rename(name)
    unlink, locked = type(existing).unlink, []

    def look(path, **options):
        with path.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                locked.append(path)
        unlink(path, **options)

    monkeypatch.setattr(type(existing), "unlink", look)
    assert remove_leftovers(existing) == locked == [name]
