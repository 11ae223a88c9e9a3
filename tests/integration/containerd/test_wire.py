"""The wire itself, by a plain gRPC client: what `ctr` does not reach, on ours and on Debian's containerd."""

import gzip
import os
import secrets
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from google.protobuf.empty_pb2 import Empty

from protos import direct, typeurl
from protos.channel import OPTIONS
from protos.containerd.events.task_pb2 import TaskExit
from protos.containerd.services.containers.v1 import containers_pb2, containers_pb2_grpc
from protos.containerd.services.content.v1 import content_pb2, content_pb2_grpc
from protos.containerd.services.diff.v1 import diff_pb2, diff_pb2_grpc
from protos.containerd.services.events.v1 import events_pb2, events_pb2_grpc
from protos.containerd.services.images.v1 import images_pb2, images_pb2_grpc
from protos.containerd.services.introspection.v1 import introspection_pb2, introspection_pb2_grpc
from protos.containerd.services.leases.v1 import leases_pb2, leases_pb2_grpc
from protos.containerd.services.snapshots.v1 import snapshots_pb2, snapshots_pb2_grpc
from protos.containerd.types.descriptor_pb2 import Descriptor
from protos.containerd.types.event_pb2 import Envelope
from tests.harness.images import digest, link, pack
from tests.harness.wait import until
from tests.integration.daemon import Daemon, Reference

LAYER = "application/vnd.oci.image.layer.v1.tar"
HELD = {"containerd.io/gc.root": "test"}
Code = grpc.StatusCode


class Client:
    def __init__(self, daemon: Daemon, namespace: str = "wire") -> None:
        self.channel = grpc.insecure_channel(
            f"unix://{daemon.address}", options=[*OPTIONS, ("grpc.default_authority", "localhost")]
        )
        self.headers = (("containerd-namespace", namespace),) if namespace else ()
        self.containers = containers_pb2_grpc.ContainersStub(self.channel)
        self.content = content_pb2_grpc.ContentStub(self.channel)
        self.diff = diff_pb2_grpc.DiffStub(self.channel)
        self.events = events_pb2_grpc.EventsStub(self.channel)
        self.images = images_pb2_grpc.ImagesStub(self.channel)
        self.introspection = introspection_pb2_grpc.IntrospectionStub(self.channel)
        self.leases = leases_pb2_grpc.LeasesStub(self.channel)
        self.snapshots = snapshots_pb2_grpc.SnapshotsStub(self.channel)

    def call(self, method: Any, request: Any, lease: str = "") -> Any:
        headers = (*self.headers, ("containerd-lease", lease)) if lease else self.headers
        return method(request, metadata=headers, timeout=30)

    def refused(self, method: Any, request: Any, lease: str = "") -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as caught:
            self.call(method, request, lease)
        return caught.value.code(), caught.value.details()

    def write(self, *requests: content_pb2.WriteContentRequest) -> list[content_pb2.WriteContentResponse]:
        return list(self.content.Write(iter(requests), metadata=self.headers, timeout=30))

    def put(self, data: bytes) -> str:
        """A blob, held by a label."""
        pieces = [write(1, data[at : at + (8 << 20)], offset=at) for at in range(0, len(data), 8 << 20)]
        pieces.append(write(2, offset=len(data), labels=HELD))
        pieces[0].ref = secrets.token_hex(8)
        try:
            self.write(*pieces)
        except grpc.RpcError as error:
            assert error.code() == Code.ALREADY_EXISTS
        return digest(data)

    def prepare(self, key: str, parent: str = "", snapshotter: str = "overlayfs") -> list[Any]:
        request = snapshots_pb2.PrepareSnapshotRequest(snapshotter=snapshotter, key=key, parent=parent, labels=HELD)
        return list(self.call(self.snapshots.Prepare, request).mounts)

    def commit(self, key: str, name: str, parent: str = "") -> None:
        request = snapshots_pb2.CommitSnapshotRequest(
            snapshotter="overlayfs", key=key, name=name, labels=HELD, parent=parent
        )
        self.call(self.snapshots.Commit, request)

    def apply(self, data: bytes, mounts: list[Any], media_type: str = LAYER) -> Descriptor:
        blob = Descriptor(media_type=media_type, digest=self.put(data), size=len(data))
        request = diff_pb2.ApplyRequest(diff=blob, mounts=mounts)
        return self.call(self.diff.Apply, request).applied


def write(action: int, data: bytes = b"", **fields: Any) -> content_pb2.WriteContentRequest:
    return content_pb2.WriteContentRequest(action=action, data=data, **fields)


@pytest.fixture
def client(daemon: Daemon) -> Iterator[Client]:
    client = Client(daemon)
    yield client
    client.channel.close()


@pytest.fixture
def ref() -> str:
    return secrets.token_hex(8)


def test_namespace_is_required(daemon: Daemon) -> None:
    code, details = Client(daemon, "").refused(Client(daemon).images.List, images_pb2.ListImagesRequest())
    assert (code, details.split(":")[0]) == (Code.FAILED_PRECONDITION, "namespace is required")


class TestWrite:
    def test_status_write_commit(self, client: Client, ref: str) -> None:
        data = os.urandom(3_000_000)
        half = len(data) // 2
        first, second, third, fourth, *_ = client.write(
            write(0, ref=ref, total=len(data), expected=digest(data)),
            write(1, data[:half]),
            write(1, data[half:], offset=half),
            write(2, offset=len(data), total=len(data), expected=digest(data), labels=HELD),
        )
        assert (first.action, first.offset, first.total) == (0, 0, len(data))
        assert (second.offset, third.offset, fourth.offset) == (half, len(data), len(data))
        assert fourth.digest == digest(data)
        request = content_pb2.ReadContentRequest(digest=digest(data), offset=5, size=2_000_000)
        assert b"".join(it.data for it in client.call(client.content.Read, request)) == data[5:2_000_005]

    def test_wrong_offset_is_out_of_range(self, client: Client, ref: str) -> None:
        with pytest.raises(grpc.RpcError) as caught:
            client.write(write(1, b"abc", ref=ref), write(1, b"x", offset=7))
        assert caught.value.code() == Code.OUT_OF_RANGE

    def test_offset_zero_begins_anew(self, client: Client, ref: str) -> None:
        client.write(write(1, b"wrong", ref=ref))
        *_, last = client.write(write(1, b"right", ref=ref), write(2, offset=5))
        assert last.digest == digest(b"right")

    def test_ingest_goes_on_where_it_was(self, client: Client, ref: str) -> None:
        client.write(write(1, b"one", ref=ref, total=6))
        status = client.call(client.content.Status, content_pb2.StatusRequest(ref=ref)).status
        assert (status.ref, status.offset, status.total) == (ref, 3, 6)
        first, *_ = client.write(write(0, ref=ref), write(2, b"two", offset=3, labels=HELD))
        assert (first.offset, first.digest) == (3, digest(b"one"))
        assert client.call(client.content.Info, content_pb2.InfoRequest(digest=digest(b"onetwo")))

    @pytest.mark.parametrize(
        ("requests", "code"),
        [
            ([write(1, b"x")], Code.INVALID_ARGUMENT),
            ([write(2, b"x", ref="REF", expected=digest(b"y"))], Code.FAILED_PRECONDITION),
            ([write(2, b"x", ref="REF", total=5)], Code.FAILED_PRECONDITION),
        ],
    )
    def test_bad_writes_are_refused(self, client: Client, ref: str, requests: list[Any], code: Code) -> None:
        for request in requests:
            if request.ref:
                request.ref = ref
        with pytest.raises(grpc.RpcError) as caught:
            client.write(*requests)
        assert caught.value.code() == code

    def test_existing_blob_already_exists(self, client: Client, ref: str) -> None:
        name = client.put(b"there")
        for requests in ([write(0, ref=ref, expected=name)], [write(2, b"there", ref=ref + "b")]):
            with pytest.raises(grpc.RpcError) as caught:
                client.write(*requests)
            assert caught.value.code() == Code.ALREADY_EXISTS

    def test_second_writer_is_told_to_wait(self, client: Client, ref: str) -> None:
        go_on = threading.Event()

        def slow() -> Iterator[object]:
            yield write(0, ref=ref)
            go_on.wait(30)

        first = client.content.Write(slow(), metadata=client.headers)
        assert next(first).action == 0
        with pytest.raises(grpc.RpcError) as caught:
            client.write(write(0, ref=ref))
        assert caught.value.code() == Code.UNAVAILABLE
        go_on.set()
        assert list(first) is not None

    def test_read_beyond_the_end_is_out_of_range(self, client: Client) -> None:
        request = content_pb2.ReadContentRequest(digest=client.put(b"short"), offset=6)
        with pytest.raises(grpc.RpcError) as caught:
            list(client.call(client.content.Read, request))
        assert caught.value.code() == Code.OUT_OF_RANGE

    def test_labels_can_be_changed_and_nothing_else(self, client: Client) -> None:
        info = content_pb2.Info(digest=client.put(b"labelled"), labels={"a": "b"})
        request = content_pb2.UpdateRequest(info=info)
        request.update_mask.paths.append("labels.a")
        changed = client.call(client.content.Update, request).info
        assert changed.labels["a"] == "b"
        assert "containerd.io/gc.root" in changed.labels
        request.update_mask.paths[:] = ["size"]
        assert client.refused(client.content.Update, request)[0] == Code.INVALID_ARGUMENT


def test_file_of_an_ingest_is_given_to_who_asks(ours: Daemon, ref: str) -> None:
    client, data = Client(ours), os.urandom(3 << 20)
    told: SimpleQueue[content_pb2.WriteContentRequest | None] = SimpleQueue()
    told.put(write(0, ref=ref))
    call = client.content.Write(iter(told.get, None), metadata=(*client.headers, (direct.HEADER, "1")), timeout=30)
    place = Path(dict(call.initial_metadata())[direct.HEADER])
    place.write_bytes(data)
    told.put(write(1, offset=2 << 20))
    told.put(write(1, offset=len(data)))
    told.put(write(2, offset=len(data), total=len(data), labels=HELD))
    replies = list(call)
    assert [each.offset for each in replies] == [0, 2 << 20, len(data), len(data)]
    assert replies[-1].digest == digest(data)
    assert not place.exists()
    found = client.call(client.content.Info, content_pb2.InfoRequest(digest=digest(data)))
    assert found.info.size == len(data)
    client.channel.close()


class TestApply:
    @pytest.mark.parametrize("snapshotter", ["overlayfs", "native"])
    def test_answer_names_the_plain_layer(self, client: Client, ref: str, snapshotter: str) -> None:
        plain = pack({"etc/": b"", "etc/f": b"x"})
        mounts = client.prepare(ref, snapshotter=snapshotter)
        applied = client.apply(gzip.compress(plain), mounts, LAYER + "+gzip")
        assert (applied.media_type, applied.digest, applied.size) == (LAYER, digest(plain), len(plain))
        assert (Path(mounts[0].source) / "etc/f").read_text() == "x"

    @pytest.mark.parametrize("kind", ["not an archive", "cut off", "damaged gzip"])
    def test_bad_layer_is_refused(self, client: Client, ref: str, kind: str) -> None:
        data = {
            "not an archive": b"#!/bin/sh\n" * 200,
            "cut off": pack({"f": bytes(5000)})[:2000],
            "damaged gzip": gzip.compress(os.urandom(5000))[:-2000],
        }[kind]
        mounts = client.prepare(ref)
        blob = Descriptor(media_type=LAYER, digest=client.put(data), size=len(data))
        request = diff_pb2.ApplyRequest(diff=blob, mounts=mounts)
        assert client.refused(client.diff.Apply, request)[0] in (Code.INVALID_ARGUMENT, Code.UNKNOWN)
        assert client.call(client.snapshots.Stat, snapshots_pb2.StatSnapshotRequest(snapshotter="overlayfs", key=ref))

    def test_climbing_name_stays_inside(self, client: Client, ref: str) -> None:
        """Ours refuses such an archive, the original cuts the name off at the root."""
        mounts = client.prepare(ref)
        data = pack({"../../climbed": b"x"})
        blob = Descriptor(media_type=LAYER, digest=client.put(data), size=len(data))
        try:
            client.call(client.diff.Apply, diff_pb2.ApplyRequest(diff=blob, mounts=mounts))
        except grpc.RpcError as error:
            assert (error.code(), "leads out of the layer" in error.details()) == (Code.INVALID_ARGUMENT, True)
        root = Path(mounts[0].source)
        assert [path for path in (root.parent, root.parent.parent) if (path / "climbed").exists()] == []

    def test_foreign_media_type_is_not_implemented(self, client: Client, ref: str) -> None:
        mounts = client.prepare(ref)
        blob = Descriptor(media_type="application/json", digest=client.put(b"{}"), size=2)
        request = diff_pb2.ApplyRequest(diff=blob, mounts=mounts)
        assert client.refused(client.diff.Apply, request)[0] in (Code.UNIMPLEMENTED, Code.UNKNOWN)

    def test_missing_blob_is_not_found(self, client: Client, ref: str) -> None:
        mounts = client.prepare(ref)
        blob = Descriptor(media_type=LAYER, digest=digest(b"missing"), size=7)
        request = diff_pb2.ApplyRequest(diff=blob, mounts=mounts)
        assert client.refused(client.diff.Apply, request)[0] == Code.NOT_FOUND

    def test_whiteouts_and_links_of_a_second_layer(self, client: Client, ref: str) -> None:
        client.apply(pack({"d/": b"", "d/gone": b"", "d/stays": b"1", "o/": b"", "o/old": b""}), client.prepare(ref))
        client.commit(ref, f"{ref}-one")
        second = pack({"d/.wh.gone": b"", "o/": b"", "o/.wh..wh..opq": b"", "o/new": b"2", "l": link("d/stays")})
        mounts = client.prepare(f"{ref}-b", f"{ref}-one")
        client.apply(second, mounts)
        upper = Path(next(it for it in mounts[0].options if it.startswith("upperdir=")).split("=")[1])
        assert stat.S_ISCHR((upper / "d/gone").lstat().st_mode)
        assert os.getxattr(upper / "o", "trusted.overlay.opaque") == b"y"
        assert (upper / "l").readlink() == Path("d/stays")
        assert stat.S_IMODE((upper / "d").stat().st_mode) == 0o755


class TestParallelLayers:
    def test_layers_get_their_parents_when_committed(self, ours: Daemon, ref: str) -> None:
        """Each layer is unpacked alone; directories it only goes through look like the parent's in the end."""
        client = Client(ours)
        plugins = client.call(client.introspection.Plugins, introspection_pb2.PluginsRequest(filters=["id==overlayfs"]))
        assert "rebase" in plugins.plugins[0].capabilities
        base, top = client.prepare("base-work"), client.prepare("top-work")
        client.apply(pack({"tmp/new": b"2", "tmp/.wh.old": b""}), top)
        client.apply(pack({"tmp/": b"", "tmp/old": b"1"}), base)
        directory = Path(base[0].source) / "tmp"
        directory.chmod(0o1777)
        os.chown(directory, 5, 6)
        client.commit("base-work", "base")
        client.commit("top-work", "top", "base")
        mounts = client.prepare("rw", "top")
        [lower] = [it for it in mounts[0].options if it.startswith("lowerdir=")]
        layer = Path(lower.removeprefix("lowerdir=").split(":")[0])
        facts = (layer / "tmp").stat()
        assert (stat.S_IMODE(facts.st_mode), facts.st_uid, facts.st_gid) == (0o1777, 5, 6)
        assert stat.S_ISCHR((layer / "tmp/old").lstat().st_mode)


class TestContainers:
    def test_update_by_mask(self, client: Client, ref: str) -> None:
        runtime = containers_pb2.Container.Runtime(name="io.containerd.runc.v2")
        spec = any_pb2.Any(type_url="x", value=b"{}")
        base = containers_pb2.Container(id=ref, runtime=runtime, spec=spec, labels={"a": "1"})
        client.call(client.containers.Create, containers_pb2.CreateContainerRequest(container=base))
        wanted = containers_pb2.Container(id=ref, image="new", labels={"b": "2"})
        request = containers_pb2.UpdateContainerRequest(container=wanted)
        request.update_mask.paths.extend(["labels.b", "image"])
        changed = client.call(client.containers.Update, request).container
        assert (dict(changed.labels), changed.image, changed.spec.value) == ({"a": "1", "b": "2"}, "new", b"{}")
        wanted = containers_pb2.ListContainersRequest(filters=[f"id=={ref}"])
        assert [it.container.id for it in client.call(client.containers.ListStream, wanted)] == [ref]

    def test_container_without_a_spec_is_refused(self, client: Client, ref: str) -> None:
        runtime = containers_pb2.Container.Runtime(name="io.containerd.runc.v2")
        base = containers_pb2.Container(id=ref, runtime=runtime)
        request = containers_pb2.CreateContainerRequest(container=base)
        assert client.refused(client.containers.Create, request)[0] == Code.INVALID_ARGUMENT


class TestLeases:
    def test_lease_holds_what_is_made_under_it(self, client: Client, ref: str) -> None:
        client.call(client.leases.Create, leases_pb2.CreateRequest(id=ref))
        request = snapshots_pb2.PrepareSnapshotRequest(snapshotter="overlayfs", key=ref)
        client.call(client.snapshots.Prepare, request, ref)
        headers = (*client.headers, ("containerd-lease", ref))
        assert list(client.content.Write(iter([write(2, ref.encode(), ref=ref)]), metadata=headers))
        blob = digest(ref.encode())
        reply = client.call(client.leases.ListResources, leases_pb2.ListResourcesRequest(id=ref))
        held = sorted((it.type, it.id) for it in reply.resources)
        assert held == [("content", blob), ("snapshots/overlayfs", ref)]
        client.call(client.leases.Delete, leases_pb2.DeleteRequest(id=ref, sync=True))
        stat_request = snapshots_pb2.StatSnapshotRequest(snapshotter="overlayfs", key=ref)
        assert client.refused(client.snapshots.Stat, stat_request)[0] == Code.NOT_FOUND
        assert client.refused(client.content.Info, content_pb2.InfoRequest(digest=blob))[0] == Code.NOT_FOUND

    def test_unknown_lease_is_not_found(self, client: Client, ref: str) -> None:
        request = snapshots_pb2.PrepareSnapshotRequest(snapshotter="overlayfs", key=ref)
        assert client.refused(client.snapshots.Prepare, request, "no-such-lease")[0] == Code.NOT_FOUND

    def test_name_is_made_where_none_is_given(self, client: Client) -> None:
        lease = client.call(client.leases.Create, leases_pb2.CreateRequest()).lease
        assert lease.id
        client.call(client.leases.Delete, leases_pb2.DeleteRequest(id=lease.id))


class TestEvents:
    def test_forwarded_events_arrive_filtered_and_in_order(self, ours: Daemon, ref: str) -> None:
        client = Client(ours)
        request = events_pb2.SubscribeRequest(filters=["namespace==moby,topic~=|^/tasks/|"])
        stream = client.events.Subscribe(request, timeout=30)
        stream.initial_metadata()  # tells that the subscription holds from now on
        for number in range(100):
            event = typeurl.from_message(TaskExit(container_id=ref, exit_status=number))
            for topic in ("/tasks/exit", "/images/create"):
                envelope = Envelope(namespace="moby", topic=topic, event=event)
                envelope.timestamp.GetCurrentTime()
                client.call(client.events.Forward, events_pb2.ForwardRequest(envelope=envelope))
        exits = [TaskExit.FromString(next(stream).event.value).exit_status for _ in range(100)]
        assert exits == list(range(100))
        stream.cancel()

    def test_published_event_carries_the_callers_namespace(self, ours: Daemon) -> None:
        client = Client(ours)
        stream = client.events.Subscribe(events_pb2.SubscribeRequest(), timeout=30)
        stream.initial_metadata()
        client.call(client.events.Publish, events_pb2.PublishRequest(topic="/a/b", event=any_pb2.Any(type_url="x")))
        found = next(stream)
        assert (found.namespace, found.topic, found.event.type_url) == ("wire", "/a/b", "x")
        stream.cancel()
        bad = events_pb2.PublishRequest(topic="no slash", event=any_pb2.Any(type_url="x"))
        assert client.refused(client.events.Publish, bad)[0] == Code.INVALID_ARGUMENT

    def test_bad_filter_is_refused(self, client: Client) -> None:
        stream = client.events.Subscribe(events_pb2.SubscribeRequest(filters=["a=b"]), timeout=30)
        with pytest.raises(grpc.RpcError) as caught:
            next(stream)
        assert caught.value.code() in (Code.INVALID_ARGUMENT, Code.UNKNOWN)


def test_server_tells_who_it_is(daemon: Daemon, client: Client) -> None:
    server = client.introspection.Server(Empty(), timeout=30)
    assert server.uuid
    if not isinstance(daemon, Reference):
        assert server.pid == daemon.pid


def test_cancelled_apply_ends_its_work(ours: Daemon, ref: str) -> None:
    client = Client(ours)
    data = pack({f"f{number}": b"" for number in range(25_000)})
    mounts = client.prepare(ref)
    blob = Descriptor(media_type=LAYER, digest=client.put(data), size=len(data))
    request = diff_pb2.ApplyRequest(diff=blob, mounts=mounts)
    call = client.diff.Apply.future(request, metadata=client.headers)
    root = Path(mounts[0].source)
    until(lambda: next(root.iterdir(), None), "the first file is there")
    call.cancel()
    assert ours.stop() == 0
    assert sum(1 for _ in root.iterdir()) < 25_000
