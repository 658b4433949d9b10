"""gdb on what runs in a debug enclave of softsgx: symbols of the kernel and of the programs, and commands to look around.

`cofre gdb` loads this. The software enclave is ordinary memory of the host process, so that breakpoints, registers and
memory are gdb's own business; what gdb does not know is which kernel and which programs lie where:

  - the kernel is at its fixed address: its file is loaded once the enclave is built;
  - the kernel tells of executable mappings (kernel/mm/debugger.h); the file behind each is written to a temporary folder,
    from the root image in the process's memory or from the folder of --sysroot, and its symbols are loaded.
"""
import os
import shutil
import tempfile

import gdb

KERNEL = os.environ["COFRE_GDB_KERNEL"]
SYSROOT = os.environ.get("COFRE_GDB_SYSROOT")
BLOCK = 4096
KERNEL_BASE = 60 << 30
KEEP = ("rip", "rsp", "rbp", "rbx", "r12", "r13", "r14", "r15", "rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11")

folder = None  # of program files
loaded = {}  # start address of a mapping: file whose symbols were loaded for it
kernel_loaded = False


def value(expression):
    return gdb.parse_and_eval(expression)


def kernel_type(name):
    return gdb.lookup_type("struct " + name)


def read(address, size):
    return bytes(gdb.selected_inferior().read_memory(address, size))


def write_byte(address, byte):
    gdb.selected_inferior().write_memory(address, bytes([byte]))


# ---- kernel --------------------------------------------------------------------------------------------------------


def same_kernel():
    """Is the kernel in the enclave the one of the file? Some of its text says."""
    address = int(value("(unsigned long)&syscall_handle"))
    with open(KERNEL, "rb") as f:
        elf = f.read()
    for offset, start, size in elf_segments(elf):
        if start <= address < start + size:
            at = offset + address - start
            return elf[at:at + 64] == read(address, 64)
    return False


def load_kernel():
    global kernel_loaded
    if kernel_loaded:
        return
    kernel_loaded = True
    gdb.execute(f"add-symbol-file {KERNEL}", to_string=True)
    try:
        same = same_kernel()
    except gdb.MemoryError:
        raise gdb.GdbError("cofre gdb: no enclave in this process (the first process of a container starts others from one without)")
    if not same:
        print("cofre gdb: the image was made with another kernel: kernel names and programs will be wrong (convert it again)")
        return
    write_byte(int(value("(unsigned long)&debugger_attached")), 1)
    Mapped("debugger_mapped", internal=True)
    Crashed("process_crashed", internal=True)


class Mapped(gdb.Breakpoint):
    """An executable mapping appeared: load the symbols of what is new, forget those of what is gone. Never stops."""

    def stop(self):
        refresh()
        return False


class Crashed(gdb.Breakpoint):
    """A process is about to be ended by a signal of its own making."""

    def stop(self):
        return True


def explain_stop(event):
    """Registers must not be changed before a stop is complete: so not in Crashed.stop()."""
    if not any(isinstance(b, Crashed) for b in getattr(event, "breakpoints", ())):
        return
    frame = gdb.newest_frame()
    print(f"The program in the enclave is about to be ended by signal {int(frame.read_var('source')['signal'])}:")
    with user_registers(frame.read_var("frame")):
        gdb.execute("backtrace 40")
    print("`cofre backtrace` shows this again; `continue` lets it end.")


# ---- programs ------------------------------------------------------------------------------------------------------


def elf_segments(elf):
    """(offset, address, size) of what is loaded."""
    table, count = int.from_bytes(elf[32:40], "little"), int.from_bytes(elf[56:58], "little")
    for i in range(count):
        header = elf[table + 56 * i:table + 56 * (i + 1)]
        if int.from_bytes(header[:4], "little") == 1:
            yield (int.from_bytes(header[8:16], "little"), int.from_bytes(header[16:24], "little"),
                   int.from_bytes(header[32:40], "little"))


def tree(root, link):
    """The elements of one of the kernel's red-black trees, in order."""
    stack, node = [], root
    while stack or int(node):
        while int(node):
            stack.append(node)
            node = node[link]["rbe_left"]
        node = stack.pop()
        yield node
        node = node[link]["rbe_right"]


def mappings():
    return list(tree(value("the_mm")["vmas"]["rbh_root"], "node"))


def file_name(file):
    if inode_kind(file["inode"]) == "remote_evict":
        return file["private"].cast(kernel_type("remote_file").pointer())["info"]["path"].string()
    names, dentry = [], file["dentry"]
    while int(dentry) and int(dentry["parent"]):
        names.append(dentry["name"].string())
        dentry = dentry["parent"]
    return "/" + "/".join(reversed(names))


def inode_kind(inode):
    """Its file system, by the name of a function of it."""
    ops = inode["ops"]
    if not int(ops) or not int(ops["evict"]):
        return ""
    return gdb.execute(f"info symbol {int(ops['evict']):#x}", to_string=True).split(" ")[0]


def root_block(inode, index):
    """A block of a file of the root image, straight from the image in untrusted memory."""
    e = inode.cast(kernel_type("erofs_inode").pointer())
    size, layout = int(inode["size"]), int(e["layout"])
    image = int(value("root_device")["params"]["image"]["addr"])
    valid = min(size - index * BLOCK, BLOCK)
    if layout == 2 and index == (size - 1) // BLOCK:
        where = int(e["body_offset"])
    elif layout == 4:
        unit, bits = int(e["chunk_unit"]), int(e["chunk_bits"]) - 12
        entry = (int(e["body_offset"]) + unit - 1) // unit * unit + (index >> bits) * unit
        block = int.from_bytes(read(image + entry + unit - 4, 4), "little")
        if block == 0xffffffff:
            return bytes(valid)
        where = (block + (index & ((1 << bits) - 1))) * BLOCK
    else:
        where = (int(e["first_block"]) + index) * BLOCK
    return read(image + where, valid)


def lower_inode(inode):
    """The inode in the root image of an unchanged file, or None."""
    kind = inode_kind(inode)
    if kind == "erofs_evict":
        return inode
    if kind == "remote_evict": # in another process than the first
        root = inode.cast(kernel_type("remote_inode").pointer())["root"]
        return root if int(root) else None
    if kind == "mem_evict":
        cover = inode.cast(kernel_type("mem_inode").pointer())
        if int(cover["lower"]) and int(cover["file"]["page_count"]) == 0:
            return cover["lower"]
    return None


def program_file(file):
    """A copy on disk of a mapped file, or None."""
    name = file_name(file)
    if SYSROOT:
        path = os.path.join(SYSROOT, name.lstrip("/"))
        return path if os.path.isfile(path) else None
    inode = lower_inode(file["inode"])
    if inode is None or int(value("root_device")["params"]["key"]) != 0:
        return None
    path = os.path.join(folder, f"{int(inode['ino'])}", os.path.basename(name) or "program")
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as f:
            for index in range((int(inode["size"]) + BLOCK - 1) // BLOCK):
                f.write(root_block(inode, index))
    return path


def load_address(path, vma):
    """What to add to the file's addresses, or None if this mapping is of no segment."""
    with open(path, "rb") as f:
        elf = f.read(65536)
    if elf[:4] != b"\x7fELF":
        return None
    for offset, address, size in elf_segments(elf):
        if offset // BLOCK * BLOCK <= int(vma["offset"]) < offset + size:
            return int(vma["start"]) - (address - offset + int(vma["offset"]))
    return None


def refresh():
    """Symbols of what is mapped executable now."""
    there = {}
    for vma in mappings():
        if int(vma["prot"]) & 4 and int(vma["file"]):
            there[int(vma["start"])] = vma
    for start in [s for s in loaded if s not in there]:
        path = loaded.pop(start)
        if path:
            gdb.execute(f"remove-symbol-file -a {start:#x}", to_string=True)
    for start, vma in there.items():
        if start in loaded:
            continue
        loaded[start] = None
        path = program_file(vma["file"])
        bias = load_address(path, vma) if path else None
        if bias is None:
            print(f"cofre gdb: no symbols for {file_name(vma['file'])} (--sysroot DIR names a copy of the root)")
            continue
        try:
            gdb.execute(f"add-symbol-file {path} -o {bias:#x}", to_string=True)
            loaded[start] = path
        except gdb.error as e:
            print(f"cofre gdb: {file_name(vma['file'])}: {e}")


# ---- tasks ---------------------------------------------------------------------------------------------------------


class user_registers:
    """With the registers of a trap frame in place of the thread's own."""

    def __init__(self, frame):
        self.registers = {name: int(frame[name]) for name in KEEP}

    def __enter__(self):
        gdb.newest_frame().select()
        self.saved = {name: int(value("$" + name)) for name in KEEP}
        self.set(self.registers)

    def __exit__(self, *unused):
        self.set(self.saved)

    @staticmethod
    def set(registers):
        for name, content in registers.items():
            gdb.execute(f"set ${name} = {content:#x}", to_string=True)


def list_of(head, link):
    element = head["tqh_first"]
    while int(element):
        yield element
        element = element[link]["tqe_next"]


def tasks():
    for process in list_of(value("process_list"), "table_link"):
        if not int(process["remote"]):
            for task in list_of(process["threads"], "thread_link"):
                yield task


def find_task(text):
    if not text:
        for task in tasks():
            if int(task["vcpu"]) and int(task["state"]) == 0:
                return task
        raise gdb.GdbError("no task runs; name one (`cofre tasks`)")
    for task in tasks():
        if int(task["tid"]) == int(text):
            return task
    raise gdb.GdbError(f"no task {text} in this enclave (`cofre tasks`)")


class CofreCommand(gdb.Command):
    """Look into an enclave: cofre tasks | backtrace [TID] | maps | symbols"""

    def __init__(self):
        super().__init__("cofre", gdb.COMMAND_DATA, prefix=True)


class Tasks(gdb.Command):
    """cofre tasks: the threads that run in this enclave, and what they do."""

    def __init__(self):
        super().__init__("cofre tasks", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        print(f"{'pid':>6} {'tid':>6}  {'state':9} {'call':>5}  name")
        for task in tasks():
            state = str(task["state"]).removeprefix("TASK_").lower()
            call = int(task["frame"]["orig_rax"]) if int(task["frame"]) else -1
            print(f"{int(task['process']['pid']):6} {int(task['tid']):6}  {state:9} {call if call >= 0 else '':>5}  "
                  f"{task['comm'].string()}")


class Backtrace(gdb.Command):
    """cofre backtrace [TID]: where the application's code is in that task (the running one if none is named)."""

    def __init__(self):
        super().__init__("cofre backtrace", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        task = find_task(argument)
        if not argument and gdb.newest_frame().pc() < KERNEL_BASE:
            gdb.execute("backtrace")
            return
        with user_registers(task["frame"]):
            gdb.execute("backtrace")


class Maps(gdb.Command):
    """cofre maps: the application's address space."""

    def __init__(self):
        super().__init__("cofre maps", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        for vma in mappings():
            prot = int(vma["prot"])
            rights = "".join(c if prot & bit else "-" for c, bit in (("r", 1), ("w", 2), ("x", 4)))
            name = file_name(vma["file"]) if int(vma["file"]) else vma["name"].string() if int(vma["name"]) else ""
            shared = "p" if int(vma["flags"]) & 2 else "s"
            print(f"{int(vma['start']):012x}-{int(vma['end']):012x} {rights}{shared} {int(vma['offset']):08x} {name}")


class Symbols(gdb.Command):
    """cofre symbols: load the symbols of all that is mapped executable now."""

    def __init__(self):
        super().__init__("cofre symbols", gdb.COMMAND_DATA)

    def invoke(self, argument, from_tty):
        load_kernel()
        refresh()
        for start, path in sorted(loaded.items()):
            print(f"{start:012x} {path or '-'}")


class Built(gdb.Breakpoint):
    """The enclave is built, nothing of it has run."""

    def stop(self):
        load_kernel()
        return False


def attach():
    """To a process that runs: all of it is there already."""
    load_kernel()
    refresh()


def main():
    global folder
    folder = tempfile.mkdtemp(prefix="cofre-gdb-")
    gdb.events.gdb_exiting.connect(lambda event: shutil.rmtree(folder, ignore_errors=True))
    for setting in ("pagination off", "confirm off", "follow-exec-mode same", "breakpoint pending on"):
        gdb.execute("set " + setting)
    # softsgx's own; SIGTRAP stays gdb's.
    gdb.execute("handle SIGSEGV SIGILL SIGSYS SIGFPE SIGBUS nostop noprint pass", to_string=True)
    gdb.events.stop.connect(explain_stop)
    CofreCommand(), Tasks(), Backtrace(), Maps(), Symbols()
    if gdb.selected_inferior().pid:
        try:
            attach()
        except gdb.GdbError as e:
            print(e)
            gdb.execute("quit 1")
    else:
        # Quietly: the function is not there before `cofre run` becomes cofre-runtime.
        gdb.execute("python Built('vcpus_start', internal=True)", to_string=True)


main()
