"""A hostile task in the sandbox does not get out of its cgroups, and not at their files."""

from __future__ import annotations

from tests.support.hostile import Site, Sites

GROUPS = """
def groups():
    "Each group that this process is in, with where its hierarchy is mounted."
    own = {}
    for line in open("/proc/self/cgroup"):
        _, names, path = line.rstrip().split(":", 2)
        own[names] = path
    found = []
    for line in open("/proc/self/mountinfo"):
        fields, _, rest = line.partition(" - ")
        root, point = fields.split()[3:5]
        kind, _, options = rest.split()[:3]
        if kind == "cgroup2":
            path = own.get("")
        elif kind == "cgroup":
            mounted = set(options.split(","))
            path = next((own[n] for n in own if n and set(n.split(",")) <= mounted), None)
        else:
            continue
        if path is not None and path.startswith(root.rstrip("/")):
            found.append((point, point + path[len(root.rstrip("/")):]))
    if not found:
        raise OSError(errno.ENOENT, "no cgroup is to be seen")
    return found
"""

LEAVES = (
    GROUPS
    + """
def attack():
    def leave(point):
        with open(f"{point}/cgroup.procs", "w") as file:
            file.write("0")
        return point
    return each([lambda point=point: leave(point) for point, _ in groups()])
"""
)

SPLITS = (
    GROUPS
    + """
def attack():
    def split(own):
        os.mkdir(f"{own}/below")
        os.rmdir(f"{own}/below")
        return own
    return each([lambda own=own: split(own) for _, own in groups()])
"""
)

RAISES = (
    GROUPS
    + """
def attack():
    def raised(path, text):
        with open(path, "w") as file:
            file.write(text)
        return path
    files = {"pids.max": "max", "memory.max": "max", "memory.limit_in_bytes": "-1"}
    return each([lambda own=own, name=name: raised(f"{own}/{name}", files[name])
                 for _, own in groups() for name in files])
"""
)

MOUNTS = """
def attack(kind, options):
    NEWNS = 0x20000
    try:
        done(libc.unshare(NEWNS))
    except OSError:
        pass
    os.makedirs("groups", exist_ok=True)
    done(libc.mount(b"none", b"groups", kind.encode(), 0, options.encode() or None))
    got = os.listdir("groups")
    libc.umount2(b"groups", 2)
    return got
"""


async def test_it_cannot_leave_its_cgroups(sites: Sites) -> None:
    await sites.contained(LEAVES)


async def test_it_cannot_make_cgroups_below_its_own(sites: Sites) -> None:
    await sites.contained(SPLITS)


async def test_it_cannot_raise_its_limits(sites: Sites) -> None:
    await sites.contained(RAISES)


async def test_it_cannot_mount_a_hierarchy_of_its_own(sites: Sites) -> None:
    await sites.contained(MOUNTS, "cgroup2", "")


SEES = """
def attack():
    return [line.rstrip() for line in open("/proc/self/cgroup")]
"""


async def test_the_names_of_its_cgroups_tell_it_nothing(strict: Site) -> None:
    """They would name its handle, and where the keeper is."""
    got = (await strict.attack(SEES)).got
    assert "env-runner" not in got, got


async def test_nothing_of_its_cgroups_is_left(sites: Sites) -> None:
    """In any hierarchy, whatever the task did with them."""
    for site in (sites.none, sites.strict):
        name = site.name_of((await site.run(site.payload("print('ran')"))).task.task_id)
        assert site.groups(name) == []
