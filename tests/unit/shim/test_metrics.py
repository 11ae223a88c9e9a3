from pathlib import Path

from services.shim import metrics

V1 = {
    "memory/memory.stat": "cache 5\nrss 6\npgfault 7\nswap 9\nhierarchical_memsw_limit 8\ntotal_pgmajfault 3\nodd x\n",
    "memory/memory.usage_in_bytes": "100\n", "memory/memory.limit_in_bytes": "200\n",
    "memory/memory.max_usage_in_bytes": "150\n", "memory/memory.failcnt": "1\n",
    "memory/memory.memsw.usage_in_bytes": "110\n", "memory/memory.oom_control": "oom_kill_disable 0\noom_kill 2\n",
    "cpuacct/cpuacct.usage": "12345\n", "cpuacct/cpuacct.stat": "user 3\nsystem 4\n",
    "cpuacct/cpuacct.usage_percpu": "1 2 \n", "cpu/cpu.stat": "nr_periods 1\nnr_throttled 2\nthrottled_time 3\n",
    "pids/pids.current": "4\n", "pids/pids.max": "max\n",
    "blkio/blkio.throttle.io_service_bytes_recursive": "8:0 Read 10\n8:0 Write 20\nTotal 30\n",
    "hugetlb/hugetlb.2MB.usage_in_bytes": "0\n", "hugetlb/hugetlb.2MB.max_usage_in_bytes": "4\n",
    "rdma/rdma.max": "mlx4_0 hca_handle=2 hca_object=max\n",
}
V2 = {
    "memory.stat": "anon 1\nfile 2\nunknown 3\n", "memory.current": "100\n", "memory.max": "max\n",
    "memory.swap.current": "5\n", "memory.swap.max": "6\n", "memory.peak": "120\n",
    "memory.events": "low 0\noom 1\noom_kill 2\n", "pids.current": "3\n", "pids.max": "max\n",
    "cpu.stat": "usage_usec 10\nuser_usec 6\nsystem_usec 4\nnr_throttled 1\n",
    "io.stat": "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n254:16\n",
    "hugetlb.2MB.current": "0\n", "hugetlb.2MB.max": "max\n",
}


def tree(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_version_one_is_read(tmp_path: Path) -> None:
    tree(tmp_path, V1)
    read = metrics.v1({each.name: each for each in tmp_path.iterdir()})
    memory = read.memory
    assert (memory.cache, memory.rss, memory.pg_fault, memory.total_pg_maj_fault) == (5, 6, 7, 3)
    assert (memory.usage.usage, memory.usage.limit, memory.usage.max, memory.usage.failcnt) == (100, 200, 150, 1)
    assert (memory.swap.usage, memory.hierarchical_swap_limit, read.memory_oom_control.oom_kill) == (110, 8, 2)
    assert (read.cpu.usage.total, list(read.cpu.usage.per_cpu)) == (12345, [1, 2])
    assert (read.cpu.usage.user, read.cpu.usage.kernel) == (30_000_000, 40_000_000)
    assert (read.cpu.throttling.throttled_periods, read.pids.current, read.pids.limit) == (2, 4, 0)
    assert [(each.op, each.major, each.value) for each in read.blkio.io_service_bytes_recursive] == [
        ("Read", 8, 10), ("Write", 8, 20),
    ]
    assert (read.hugetlb[0].pagesize, read.hugetlb[0].max) == ("2MB", 4)
    assert (read.rdma.limit[0].hca_handles, read.rdma.limit[0].hca_objects) == (2, 2**32 - 1)


def test_version_two_is_read(tmp_path: Path) -> None:
    tree(tmp_path, V2)
    read = metrics.v2(tmp_path)
    memory = read.memory
    assert (memory.anon, memory.file, memory.usage, memory.usage_limit) == (1, 2, 100, 2**64 - 1)
    assert (memory.swap_usage, memory.swap_limit, memory.max_usage, read.memory_events.oom_kill) == (5, 6, 120, 2)
    assert (read.cpu.usage_usec, read.cpu.nr_throttled, read.pids.current) == (10, 1, 3)
    assert [(each.major, each.rbytes, each.wios) for each in read.io.usage] == [(8, 1, 4), (254, 0, 0)]
    assert read.hugetlb[0].max == 2**64 - 1


def test_missing_files_count_nothing(tmp_path: Path) -> None:
    assert metrics.v2(tmp_path).memory.usage == 0
    assert metrics.v1({"memory": tmp_path, "pids": tmp_path}).pids.current == 0
