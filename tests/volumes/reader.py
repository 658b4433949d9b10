#!/usr/bin/env python3
"""A second reader of volumes: docs/VOLUME-FORMAT.md in Python, so that the document is enough to read a volume by, and that two
programs agree about every byte of the golden images. Written from the document, not from kernel/volume/.

  tests/volumes/reader.py VOLUME KEYFILE [SNAPSHOT]        a line of JSON for each name, sorted

It reads only: no anchor, one kind of key (a file's 32 bytes), everything in memory, and all that does not verify ends it.
"""
import hashlib
import hmac
import json
import stat
import struct
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

BLOCK = 4096
FANOUT = 128
ROOT_INO = 16
INODES, FREE_MAP, EPOCHS, SNAPSHOTS = range(4)
LEVEL_XATTR = 15
POINTER, ROOT, INODE = 32, 40, 256
CHECKPOINT = struct.Struct("<II16sQQQQQII32sQQ16sQQQQQQQQQQ16s")
OP = struct.Struct("<HHI")
TIME = struct.Struct("<qII")


class Damaged(Exception):
    pass


def need(condition, what):
    if not condition:
        raise Damaged(what)


def derive(key, salt, info):
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=info).derive(key)


def unseal(key, nonce, tag, sealed, aad, what):
    try:
        return AESGCM(key).decrypt(bytes(4) + struct.pack("<Q", nonce), sealed + tag, aad)
    except Exception as error:
        raise Damaged(f"{what} does not verify") from error


def text(data):
    return data.split(b"\0", 1)[0]


class Inode:
    """One of the tree; what the log changes is changed here."""

    def __init__(self, data=bytes(INODE)):
        (self.mode, self.uid, self.gid, self.nlink, self.rdev, self.size, self.block_count, self.next, self.prev, self.parent,
         self.entry_count, self.generation, self.height, self.inline_size) = struct.unpack_from("<IIIIQQQQQQQIBB", data)
        self.atime, self.mtime, self.ctime, self.btime = (TIME.unpack_from(data, 80 + 16 * i)[:2] for i in range(4))
        self.xattr, self.root = data[144:176], data[176:208]
        self.target = data[176:176 + self.inline_size] if self.inline_size else None
        self.blocks = {}  # index: pointer, or the contents
        self.entries = {}  # of a directory: name: inode number
        self.xattrs = {}
        self.changed = False  # of a directory: by the log


class Volume:
    def __init__(self, path, key, snapshot=None):
        with open(path, "rb") as f:
            self.data = f.read()
        self.header_read()
        self.masters = {}
        self.keys_read(key)
        self.checkpoint_read()
        self.epoch_keys = {}
        self.inodes, self.generations = {}, {}
        self.tree_read(self.roots[INODES], self.inode_next)
        self.log_read()
        if snapshot is not None:
            self.snapshot_show(snapshot)

    def block(self, address):
        need(0 <= address < len(self.data) // BLOCK, f"block {address} is not in the file")
        return self.data[address * BLOCK:(address + 1) * BLOCK]

    # ---- header and keys ----

    def label(self, what):
        return self.uuid + what.ljust(32, b"\0")

    def header_read(self):
        copies = [self.block(i) for i in range(2)]
        copies = [c for c in copies if c[:8] == b"CofreVol" and struct.unpack_from("<II", c, 8) == (1, BLOCK)]
        need(copies, "no header")
        self.copies = copies
        self.uuid = copies[0][16:32]

    def keys_read(self, key):
        """The master key of a slot that opens and that the HMAC of a header agrees with."""
        for number in range(32):
            slot = self.data[16 * BLOCK + number * 2048:][:2048]
            if struct.unpack_from("<I", slot)[0] != 1 or slot[8:24] != self.uuid:
                continue
            try:
                master = unseal(derive(key, slot[88:120], b"cofre volume key slot"), 0, slot[1992:2008], slot[2008:], slot[:1992], "key slot")
            except Damaged:
                continue
            good = [c for c in self.copies if self.header_good(c, master[:32])]
            if good:
                self.master = master[:32]
                self.header = max(good, key=lambda c: struct.unpack_from("<Q", c, 56)[0])
                incompat = struct.unpack_from("<Q", self.header, 48)[0]
                need(incompat & ~3 == 0, f"features {incompat:x}")
                return
        raise Damaged("the key opens no slot")

    def header_good(self, copy, master):
        expected = hmac.new(derive(master, None, self.label(b"header")), copy[:-32], hashlib.sha256).digest()
        return hmac.compare_digest(expected, copy[-32:])

    # ---- checkpoint ----

    def checkpoint_read(self):
        best = None
        for number in range(4):
            slot = self.block(64 + 16 * number)
            try:
                plain = unseal(derive(self.master, slot[:32], self.label(b"checkpoint")), 0, slot[32:48], slot[48:], None, "checkpoint")
            except Damaged:
                continue
            fields = CHECKPOINT.unpack_from(plain)
            need(fields[0] == 0x54504B43 and fields[2] == self.uuid, "a checkpoint's magic")
            if best is None or fields[7] > best[0][7]:
                best = fields, plain, slot[32:48]
        need(best, "no checkpoint")
        fields, plain, self.checkpoint_tag = best
        need(fields[6] <= struct.unpack_from("<Q", self.header, 56)[0], "an older header was put back")
        need(fields[5] & ~struct.unpack_from("<Q", self.header, 48)[0] == 0, "a feature that the header does not announce")
        self.epoch, self.epoch_salt = fields[8], fields[10]
        self.sequence, self.log_block = fields[15], fields[16]
        self.inode_next = fields[20]
        at = CHECKPOINT.size
        self.roots = [plain[at + ROOT * i:at + ROOT * (i + 1)] for i in range(4)]
        at += 4 * ROOT + 32
        self.old_master, self.rekey_epoch = plain[at:at + 32], struct.unpack_from("<I", plain, at + 40)[0]

    # ---- blocks and trees ----

    def epoch_salt_of(self, epoch):
        if epoch == self.epoch:
            return self.epoch_salt
        table = self.tree_block(EPOCHS, self.roots[EPOCHS][:POINTER], struct.unpack_from("<Q", self.roots[EPOCHS], POINTER)[0], epoch // 64)
        need(table, f"epoch {epoch} has no salt")
        return table[epoch % 64 * 64:][:32]

    def key_of(self, epoch, what):
        if (epoch, what) not in self.epoch_keys:
            master = self.old_master if epoch < self.rekey_epoch else self.master
            self.epoch_keys[epoch, what] = derive(master, self.epoch_salt_of(epoch), self.label(what))
        return self.epoch_keys[epoch, what]

    def pointed(self, pointer, ino, level, index):
        """What a pointer points to; None for a hole."""
        where, nonce = struct.unpack_from("<QQ", pointer)
        if where == 0:
            return None
        need(where >> 56 == 0, "reserved bits of a pointer")
        address, epoch = where & (1 << 40) - 1, where >> 40
        return unseal(self.key_of(epoch, b"epoch blocks"), nonce, pointer[16:32], self.block(address), struct.pack("<QQQ", ino, index, level),
                      f"block {address}: inode {ino}, level {level}, index {index}")

    def tree_block(self, ino, pointer, level, index):
        """Contents number `index` below a pointer to a block of this level; None for a hole."""
        if index >> 7 * level:
            return None
        while level > 0:
            table = self.pointed(pointer, ino, level, index >> 7 * level)
            if table is None:
                return None
            level -= 1
            slot = (index >> 7 * level) % FANOUT
            pointer = table[slot * POINTER:(slot + 1) * POINTER]
        return self.pointed(pointer, ino, 0, index)

    def pointers(self, ino, pointer, level, index=0):
        """(index, pointer) of all contents below."""
        if level == 0 or pointer[:8] == bytes(8):
            return [(index, pointer)] if pointer[:8] != bytes(8) else []
        table = self.pointed(pointer, ino, level, index)
        return [x for slot in range(FANOUT) for x in self.pointers(ino, table[slot * POINTER:(slot + 1) * POINTER], level - 1, index * FANOUT + slot)]

    def contents(self, ino, inode, index):
        """A block of a file, zeros where it has none."""
        block = inode.blocks.get(index)
        if block is None:
            return bytes(BLOCK)
        return block if len(block) == BLOCK else self.pointed(block, ino, 0, index)

    # ---- inodes, directories, attributes ----

    def tree_read(self, root, inode_next):
        self.inodes = {}
        height = struct.unpack_from("<Q", root, POINTER)[0]
        for index, pointer in self.pointers(INODES, root[:POINTER], height):
            table = self.pointed(pointer, INODES, 0, index)
            for i in range(BLOCK // INODE):
                inode, ino = Inode(table[i * INODE:(i + 1) * INODE]), index * 16 + i
                self.generations[ino] = inode.generation
                if inode.mode and ino < inode_next:
                    self.inodes[ino] = inode
        for ino, inode in self.inodes.items():
            self.inode_read(ino, inode)

    def inode_read(self, ino, inode):
        if inode.target is None:
            inode.blocks = dict(self.pointers(ino, inode.root, inode.height))
        if stat.S_ISLNK(inode.mode) and inode.target is None:
            inode.target = self.contents(ino, inode, 0)[:inode.size]
        if stat.S_ISDIR(inode.mode):
            for index in inode.blocks:
                self.directory_block(inode, self.contents(ino, inode, index))
            need(len(inode.entries) == inode.entry_count, f"directory {ino}: {len(inode.entries)} entries, it says {inode.entry_count}")
        attributes = self.pointed(inode.xattr, ino, LEVEL_XATTR, 0)
        if attributes:
            magic, used = struct.unpack_from("<II", attributes)
            need(magic == 0x54415856, f"attributes of inode {ino}")
            at = 8
            while at < 8 + used:
                name_size, value_size = struct.unpack_from("<HH", attributes, at)
                name = attributes[at + 4:at + 4 + name_size]
                inode.xattrs[name] = attributes[at + 4 + name_size:at + 4 + name_size + value_size]
                at += 4 + name_size + value_size

    @staticmethod
    def directory_block(inode, data):
        magic, level, count, _used, _ = struct.unpack_from("<IHHII", data)
        need(magic == 0x52494456, "a directory's magic")
        at = 16
        for _ in range(count if level == 0 else 0):
            _hash, ino, size, name_size, _type = struct.unpack_from("<QQHBB", data, at)
            inode.entries[data[at + 20:at + 20 + name_size]] = ino
            at += size

    def snapshot_show(self, name):
        root = self.roots[SNAPSHOTS]
        for index, pointer in self.pointers(SNAPSHOTS, root[:POINTER], struct.unpack_from("<Q", root, POINTER)[0]):
            table = self.pointed(pointer, SNAPSHOTS, 0, index)
            for i in range(16):
                entry = table[i * 256:(i + 1) * 256]
                if text(entry[16:80]) == name.encode():
                    self.tree_read(entry[96:136], struct.unpack_from("<Q", entry, 136)[0])
                    return
        raise Damaged(f"no snapshot {name}")

    # ---- the log ----

    def log_read(self):
        """Records until one does not verify; the operations up to the last commit take effect."""
        records, committed, damaged, closed = [], 0, False, False
        address, previous, sequence = self.log_block, self.checkpoint_tag, self.sequence + 1
        while 0 < address < len(self.data) // BLOCK:
            block = self.block(address)
            try:
                plain = unseal(self.key_of(self.epoch, b"epoch log"), sequence, block[:16], block[16:], previous + struct.pack("<Q", address), "record")
            except Damaged:
                break
            magic, size, number, following, _room, flags, _count = struct.unpack_from("<IIQQQII", plain)
            need(magic == 0x43455256 and number == sequence, "a record's magic or number")
            need(not closed, "a record whose contents are damaged, with a commit after it")
            records.append(list(self.operations(plain[40:40 + size])))
            damaged = damaged or not all(self.contents_good(*operation) for operation in records[-1])
            if flags & 1:
                closed = damaged
                committed = committed if damaged else len(records)
            address, previous, sequence = following, block[:16], sequence + 1
        for record in records[:committed]:
            for name, data in record:
                getattr(self, "op_" + name)(data)

    @staticmethod
    def operations(record):
        names = ["", "create", "link", "unlink", "rename", "setattr", "truncate", "punch", "bytes", "blocks", "setxattr", "removexattr", "free"]
        at = 0
        while at < len(record):
            kind, size, _ = OP.unpack_from(record, at)
            need(0 < kind < len(names) and size >= OP.size, f"operation {kind}")
            yield names[kind], record[at + OP.size:at + size]
            at += size

    def contents_good(self, name, data):
        if name == "blocks":
            ino, first, count, _time = self.range_of(data)
            for i in range(count):
                try:
                    self.pointed(data[40 + i * POINTER:40 + (i + 1) * POINTER], ino, 0, first + i)
                except Damaged:
                    return False
        return True

    def touch(self, ino, time, modified=True):
        self.inodes[ino].ctime = time
        if modified:
            self.inodes[ino].mtime = time
            self.inodes[ino].changed = True

    def entry_remove(self, directory, name):
        """The name goes, and with the last one the inode (one without a name counts no more after a crash)."""
        ino = self.inodes[directory].entries.pop(name)
        inode = self.inodes[ino]
        if stat.S_ISDIR(inode.mode):
            self.inodes[directory].nlink -= 1
            inode.nlink = 0
        else:
            inode.nlink -= 1
        return ino

    def inode_new(self, ino):
        self.generations[ino] = self.generations.get(ino, 0) + 1
        inode = self.inodes[ino] = Inode()
        inode.generation = self.generations[ino]
        return inode

    def op_create(self, data):
        directory, ino, rdev, mode, uid, gid, name_size, target_size = struct.unpack_from("<QQQIIIHH", data)
        time = TIME.unpack_from(data, 40)[:2]
        inode = self.inode_new(ino)
        inode.mode, inode.uid, inode.gid, inode.rdev = mode, uid, gid, rdev
        inode.nlink = 0 if directory == 0 else 2 if stat.S_ISDIR(mode) else 1
        inode.atime = inode.mtime = inode.ctime = inode.btime = time
        if stat.S_ISLNK(mode):
            inode.target = data[56 + name_size:56 + name_size + target_size]
            inode.size = target_size
        if directory:
            self.inodes[directory].entries[data[56:56 + name_size]] = ino
            self.inodes[directory].nlink += stat.S_ISDIR(mode)
            inode.parent = directory
            self.touch(directory, time)

    def name_of(self, data):
        directory, ino = struct.unpack_from("<QQ", data)
        size = struct.unpack_from("<Q", data, 32)[0]
        return directory, ino, TIME.unpack_from(data, 16)[:2], data[40:40 + size]

    def op_link(self, data):
        directory, ino, time, name = self.name_of(data)
        self.inodes[directory].entries[name] = ino
        self.inodes[ino].nlink += 1
        self.touch(directory, time)
        self.touch(ino, time, False)

    def op_unlink(self, data):
        directory, _ino, time, name = self.name_of(data)
        self.touch(self.entry_remove(directory, name), time, False)
        self.touch(directory, time)

    def op_rename(self, data):
        old_dir, new_dir, flags, old_size, new_size, whiteout, uid, gid = struct.unpack_from("<QQIHHQII", data)
        time = TIME.unpack_from(data, 40)[:2]
        old, new = data[56:56 + old_size], data[56 + old_size:56 + old_size + new_size]
        source, target = self.inodes[old_dir].entries, self.inodes[new_dir].entries
        moved = source[old]
        if flags & 2:  # exchange
            source[old], target[new] = target[new], moved
            self.moved(source[old], new_dir, old_dir, time)
        else:
            if new in target:
                self.touch(self.entry_remove(new_dir, new), time, False)
            del source[old]
            target[new] = moved
            if flags & 4:  # a device 0:0 stays behind
                left = self.inode_new(whiteout)
                left.mode, left.nlink, left.uid, left.gid = stat.S_IFCHR, 1, uid, gid
                left.atime = left.mtime = left.ctime = left.btime = time
                source[old] = whiteout
        self.moved(moved, old_dir, new_dir, time)
        self.touch(old_dir, time)
        self.touch(new_dir, time)

    def moved(self, ino, old_dir, new_dir, time):
        if stat.S_ISDIR(self.inodes[ino].mode):
            self.inodes[old_dir].nlink -= 1
            self.inodes[new_dir].nlink += 1
            self.inodes[ino].parent = new_dir
        self.touch(ino, time, False)

    def op_setattr(self, data):
        ino, size, mode, uid, gid, _ = struct.unpack_from("<QQIIII", data)
        inode = self.inodes[ino]
        inode.mode, inode.uid, inode.gid = stat.S_IFMT(inode.mode) | mode & 0o7777, uid, gid
        inode.atime, inode.mtime, inode.ctime = (TIME.unpack_from(data, 32 + 16 * i)[:2] for i in range(3))
        if size != (1 << 64) - 1 and stat.S_ISREG(inode.mode):
            inode.size = size

    @staticmethod
    def range_of(data):
        return struct.unpack_from("<QQQ", data) + (TIME.unpack_from(data, 24)[:2],)

    def zero(self, ino, start, end):
        """No contents in [start, end): whole blocks become holes, parts of blocks zeros."""
        inode = self.inodes[ino]
        for index in list(inode.blocks):
            first, last = max(start - index * BLOCK, 0), min(end - index * BLOCK, BLOCK)
            if first == 0 and last == BLOCK:
                del inode.blocks[index]
            elif first < last:
                old = self.contents(ino, inode, index)
                inode.blocks[index] = old[:first] + bytes(last - first) + old[last:]

    def op_truncate(self, data):
        ino, size, _, time = self.range_of(data)
        self.zero(ino, size, 1 << 40)
        self.inodes[ino].size = size
        self.touch(ino, time)

    def op_punch(self, data):
        ino, offset, count, time = self.range_of(data)
        self.zero(ino, offset, offset + count)
        self.touch(ino, time)

    def op_bytes(self, data):
        ino, offset, count, _time = self.range_of(data)
        new, index = data[40:40 + count], offset // BLOCK
        old = self.contents(ino, self.inodes[ino], index)
        at = offset % BLOCK
        need(at + count <= BLOCK, "bytes in more than one block")
        self.inodes[ino].blocks[index] = old[:at] + new + old[at + count:]

    def op_blocks(self, data):
        ino, first, count, _time = self.range_of(data)
        for i in range(count):
            self.inodes[ino].blocks[first + i] = data[40 + i * POINTER:40 + (i + 1) * POINTER]

    def op_setxattr(self, data):
        ino, name_size, value_size = struct.unpack_from("<QII", data)
        self.inodes[ino].xattrs[data[32:32 + name_size]] = data[32 + name_size:32 + name_size + value_size]
        self.touch(ino, TIME.unpack_from(data, 16)[:2], False)

    def op_removexattr(self, data):
        ino, name_size = struct.unpack_from("<QI", data)
        del self.inodes[ino].xattrs[data[32:32 + name_size]]
        self.touch(ino, TIME.unpack_from(data, 16)[:2], False)

    def op_free(self, data):
        del self.inodes[self.range_of(data)[0]]

    # ---- what is there ----

    def digest(self, ino, inode):
        sha, empty = hashlib.sha256(), bytes(BLOCK)
        for index in range((inode.size + BLOCK - 1) // BLOCK):
            block = self.contents(ino, inode, index) if index in inode.blocks else empty
            sha.update(block[:inode.size - index * BLOCK])
        return sha.hexdigest()

    def names(self, ino=ROOT_INO, path="/"):
        """(path, inode number) of everything, folders before what is in them."""
        yield path, ino
        for name, child in sorted(self.inodes[ino].entries.items()):
            below = path.rstrip("/") + "/" + name.decode(errors="surrogateescape")
            if stat.S_ISDIR(self.inodes[child].mode):
                yield from self.names(child, below)
            else:
                yield below, child


def describe(volume, path, ino):
    inode = volume.inodes[ino]
    out = {"path": path, "inode": ino, "mode": f"{inode.mode:o}", "links": inode.nlink, "owner": f"{inode.uid}:{inode.gid}", "size": inode.size,
           "generation": inode.generation, "times": [f"{t[0]}.{t[1]:09}" for t in (inode.atime, inode.mtime, inode.ctime, inode.btime)],
           "xattrs": {k.decode(): v.hex() for k, v in sorted(inode.xattrs.items())}}
    if stat.S_ISREG(inode.mode):
        out["sha256"] = volume.digest(ino, inode)
    elif stat.S_ISLNK(inode.mode):
        out["target"] = inode.target.decode()
    elif stat.S_ISCHR(inode.mode) or stat.S_ISBLK(inode.mode):
        out["rdev"] = inode.rdev
    if stat.S_ISDIR(inode.mode) and inode.changed:
        del out["size"]  # of the blocks of its search tree, which is not built here
    return out


def main():
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    with open(sys.argv[2], "rb") as f:
        key = f.read()
    try:
        volume = Volume(sys.argv[1], key, *sys.argv[3:])
        lines = [json.dumps(describe(volume, path, ino), sort_keys=True) for path, ino in volume.names()]
    except Damaged as error:
        sys.exit(f"{sys.argv[1]}: {error}")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
