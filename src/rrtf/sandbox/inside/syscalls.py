"""The seccomp filter as BPF: what a judged program may never ask of the kernel.

A list of refusals, not of permissions: the interpreter and its extension modules use a few hundred calls that change with the C library, and a wrong refusal
would be a wrong verdict. Refused calls return EPERM. Not here: installing it (`kernel.install_filter`).
"""

from __future__ import annotations

import errno
import platform
import struct

from . import kernel

_NAMESPACES = 0x7E020000
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AT_NUMBER, _AT_ARCH, _AT_ARGUMENT = 0, 4, 16
_UNIX, _INET, _INET6 = 1, 2, 10

_SET_OWNER, _SET_OWNER_BY_IOCTL = (8, 15), (0x8901, 0x8902)
"""F_SETOWN and F_SETOWN_EX, FIOSETOWN and SIOCSPGRP."""
_NEW_PIDS = {"unshare": 0, "setns": 1}
"""Calls that are left for pid namespaces alone, and which argument says so."""
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMN = {"x86_64": 0, "aarch64": 1}

# Name: (number on x86_64, number on aarch64); -1 where the call does not exist.
_REFUSED = {
    # looking into or steering other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272), "pidfd_getfd": (438, 438), "process_madvise": (440, 440),
    # changing what is mounted, and other namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "open_tree": (428, 428), "open_tree_attr": (467, 467), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442), "unshare": (272, 97), "setns": (308, 268),
    # things that outlive a program: keys, System V shared memory, semaphores and queues, POSIX queues
    "keyctl": (250, 219), "add_key": (248, 217), "request_key": (249, 218), "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    # wide attack surface that no judged program needs
    "bpf": (321, 280), "userfaultfd": (323, 282), "perf_event_open": (298, 241), "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "io_setup": (206, 0),  # of these there is one quota for the whole machine
    "open_by_handle_at": (304, 265), "name_to_handle_at": (303, 264), "personality": (135, 92), "modify_ldt": (154, -1), "fanotify_init": (300, 262),
    # memory that no measurement of processes sees, and files that no limit on the temporary directory counts
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    # the machine itself
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104), "kexec_file_load": (320, 294), "reboot": (169, 142),
    "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "quotactl": (179, 60), "syslog": (103, 116), "settimeofday": (164, 170), "clock_settime": (227, 112),
    "adjtimex": (159, 171), "clock_adjtime": (305, 266), "sethostname": (170, 161), "setdomainname": (171, 162), "iopl": (172, -1), "ioperm": (173, -1), "vhangup": (153, 58),
}  # fmt: skip
_OTHER = {
    "clone": (56, 220), "clone3": (435, 435), "socket": (41, 198), "kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "pidfd_send_signal": (424, 424),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "prlimit64": (302, 261), "setpriority": (141, 140), "sched_setaffinity": (203, 122),
    "fcntl": (72, 25), "ioctl": (16, 29),
    "sched_setscheduler": (144, 119), "sched_setparam": (142, 118), "sched_setattr": (314, 274), "ioprio_set": (251, 30),
}  # fmt: skip


def _op(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("=HBBI", code, yes, no, value & 0xFFFFFFFF)


def _refuse(number: int = errno.EPERM) -> bytes:
    return _op(_RETURN, _ERRNO | number)


def _argument(number: int, checks: bytes, position: int = 0) -> bytes:
    """For call `number`: load the low half of an argument, do `checks` (which may return), then load the call number again."""
    body = _op(_LOAD, _AT_ARGUMENT + 8 * position) + checks + _op(_LOAD, _AT_NUMBER)
    return _op(_EQUAL, number, 0, len(body) // 8) + body


def build(own_pid: int, *, network: bool, processes: bool, forks_namespaces: bool = False) -> bytes:
    """The filter for the process `own_pid`, or OSError on a processor it does not know.

    `network` and `processes` say that a network and a pid namespace are there. Where they are not, the filter stands in: no sockets at all, and no signals to,
    or limits and priorities of, any process but its own. `forks_namespaces` leaves the process that programs are forks of what it needs to give each a pid
    namespace; without capabilities the kernel refuses that to a program.
    """
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"no filter is written for the processor {machine}")
    column = _COLUMN[machine]
    number = {name: numbers[column] for name, numbers in (_REFUSED | _OTHER).items()}
    code = _op(_LOAD, _AT_ARCH) + _op(_EQUAL, _ARCHITECTURES[machine], 1, 0) + _op(_RETURN, _KILL) + _op(_LOAD, _AT_NUMBER)
    if machine == "x86_64":
        code += _op(_AT_LEAST, 0x40000000, 0, 1) + _refuse(errno.ENOSYS)  # the x32 numbers, a second name for every call
    for name in _REFUSED:
        if forks_namespaces and name in _NEW_PIDS:
            code += _argument(number[name], _op(_EQUAL, kernel.NEWPID, 1, 0) + _refuse(), _NEW_PIDS[name])
        elif number[name] >= 0:
            code += _op(_EQUAL, number[name], 0, 1) + _refuse()
    code += _op(_EQUAL, number["clone3"], 0, 1) + _refuse(errno.ENOSYS)  # its flags lie in memory; the C library falls back to clone
    code += _argument(number["clone"], _op(_ANY_BIT, _NAMESPACES, 0, 1) + _refuse())
    if network:
        families = (_UNIX, _INET, _INET6)  # among the others are netlink, packet and vsock, which reaches past network namespaces
        checks = b"".join(_op(_EQUAL, family, len(families) - i, 0) for i, family in enumerate(families)) + _refuse()
        code += _argument(number["socket"], checks)
    else:
        code += _op(_EQUAL, number["socket"], 0, 1) + _refuse()
    if not processes:
        own = _op(_EQUAL, own_pid, 1, 0) + _refuse()
        own_or_zero = _op(_EQUAL, own_pid, 2, 0) + _op(_EQUAL, 0, 1, 0) + _refuse()
        for name in ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"):
            code += _argument(number[name], own)
        for name in ("prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam", "sched_setattr"):
            code += _argument(number[name], own_or_zero)
        # whoever owns a descriptor can be sent any signal through it
        for name, commands in (("fcntl", _SET_OWNER), ("ioctl", _SET_OWNER_BY_IOCTL)):
            code += _argument(number[name], _op(_EQUAL, commands[0], 1, 0) + _op(_EQUAL, commands[1], 0, 1) + _refuse(), 1)
        for name in ("tkill", "pidfd_send_signal", "setpriority", "ioprio_set"):
            code += _op(_EQUAL, number[name], 0, 1) + _refuse()
    return code + _op(_RETURN, _ALLOW)
