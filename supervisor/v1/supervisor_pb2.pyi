import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TaskClass(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_CLASS_UNSPECIFIED: _ClassVar[TaskClass]
    TASK_CLASS_CPU_SHORT: _ClassVar[TaskClass]
    TASK_CLASS_CPU_LONG: _ClassVar[TaskClass]
    TASK_CLASS_GPU: _ClassVar[TaskClass]
    TASK_CLASS_GPU_SLURM: _ClassVar[TaskClass]

class TaskState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_STATE_UNSPECIFIED: _ClassVar[TaskState]
    TASK_STATE_PENDING: _ClassVar[TaskState]
    TASK_STATE_PREPARING: _ClassVar[TaskState]
    TASK_STATE_RUNNING: _ClassVar[TaskState]
    TASK_STATE_FINALIZING: _ClassVar[TaskState]
    TASK_STATE_COMPLETED: _ClassVar[TaskState]
    TASK_STATE_FAILED: _ClassVar[TaskState]
    TASK_STATE_CANCELLED: _ClassVar[TaskState]

class TaskEventType(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TASK_EVENT_TYPE_UNSPECIFIED: _ClassVar[TaskEventType]
    TASK_EVENT_TYPE_ACCEPTED: _ClassVar[TaskEventType]
    TASK_EVENT_TYPE_PREPARING: _ClassVar[TaskEventType]
    TASK_EVENT_TYPE_STARTED: _ClassVar[TaskEventType]
    TASK_EVENT_TYPE_PROGRESS: _ClassVar[TaskEventType]
    TASK_EVENT_TYPE_RETRYING: _ClassVar[TaskEventType]
    TASK_EVENT_TYPE_FINALIZING: _ClassVar[TaskEventType]
    TASK_EVENT_TYPE_COMPLETED: _ClassVar[TaskEventType]
    TASK_EVENT_TYPE_FAILED: _ClassVar[TaskEventType]
    TASK_EVENT_TYPE_CANCELLED: _ClassVar[TaskEventType]

class OutputStream(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTPUT_STREAM_UNSPECIFIED: _ClassVar[OutputStream]
    OUTPUT_STREAM_STDOUT: _ClassVar[OutputStream]
    OUTPUT_STREAM_STDERR: _ClassVar[OutputStream]

class Mode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MODE_UNSPECIFIED: _ClassVar[Mode]
    MODE_NATIVE: _ClassVar[Mode]
    MODE_DOCKER: _ClassVar[Mode]
    MODE_PYTHON: _ClassVar[Mode]

class Fault(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAULT_UNSPECIFIED: _ClassVar[Fault]
    FAULT_TASK: _ClassVar[Fault]
    FAULT_SYSTEM: _ClassVar[Fault]

class FailureReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FAILURE_REASON_UNSPECIFIED: _ClassVar[FailureReason]
    FAILURE_REASON_EXIT_CODE: _ClassVar[FailureReason]
    FAILURE_REASON_SIGNAL: _ClassVar[FailureReason]
    FAILURE_REASON_TIMED_OUT: _ClassVar[FailureReason]
    FAILURE_REASON_OUT_OF_MEMORY: _ClassVar[FailureReason]
    FAILURE_REASON_LIMIT: _ClassVar[FailureReason]
    FAILURE_REASON_START: _ClassVar[FailureReason]
    FAILURE_REASON_IMAGE_PULL: _ClassVar[FailureReason]
    FAILURE_REASON_INPUT: _ClassVar[FailureReason]
    FAILURE_REASON_OUTPUT: _ClassVar[FailureReason]
    FAILURE_REASON_SECRET: _ClassVar[FailureReason]
    FAILURE_REASON_ENVIRONMENT: _ClassVar[FailureReason]
    FAILURE_REASON_EXECUTOR: _ClassVar[FailureReason]
    FAILURE_REASON_GPU_LOST: _ClassVar[FailureReason]
    FAILURE_REASON_LOST: _ClassVar[FailureReason]
TASK_CLASS_UNSPECIFIED: TaskClass
TASK_CLASS_CPU_SHORT: TaskClass
TASK_CLASS_CPU_LONG: TaskClass
TASK_CLASS_GPU: TaskClass
TASK_CLASS_GPU_SLURM: TaskClass
TASK_STATE_UNSPECIFIED: TaskState
TASK_STATE_PENDING: TaskState
TASK_STATE_PREPARING: TaskState
TASK_STATE_RUNNING: TaskState
TASK_STATE_FINALIZING: TaskState
TASK_STATE_COMPLETED: TaskState
TASK_STATE_FAILED: TaskState
TASK_STATE_CANCELLED: TaskState
TASK_EVENT_TYPE_UNSPECIFIED: TaskEventType
TASK_EVENT_TYPE_ACCEPTED: TaskEventType
TASK_EVENT_TYPE_PREPARING: TaskEventType
TASK_EVENT_TYPE_STARTED: TaskEventType
TASK_EVENT_TYPE_PROGRESS: TaskEventType
TASK_EVENT_TYPE_RETRYING: TaskEventType
TASK_EVENT_TYPE_FINALIZING: TaskEventType
TASK_EVENT_TYPE_COMPLETED: TaskEventType
TASK_EVENT_TYPE_FAILED: TaskEventType
TASK_EVENT_TYPE_CANCELLED: TaskEventType
OUTPUT_STREAM_UNSPECIFIED: OutputStream
OUTPUT_STREAM_STDOUT: OutputStream
OUTPUT_STREAM_STDERR: OutputStream
MODE_UNSPECIFIED: Mode
MODE_NATIVE: Mode
MODE_DOCKER: Mode
MODE_PYTHON: Mode
FAULT_UNSPECIFIED: Fault
FAULT_TASK: Fault
FAULT_SYSTEM: Fault
FAILURE_REASON_UNSPECIFIED: FailureReason
FAILURE_REASON_EXIT_CODE: FailureReason
FAILURE_REASON_SIGNAL: FailureReason
FAILURE_REASON_TIMED_OUT: FailureReason
FAILURE_REASON_OUT_OF_MEMORY: FailureReason
FAILURE_REASON_LIMIT: FailureReason
FAILURE_REASON_START: FailureReason
FAILURE_REASON_IMAGE_PULL: FailureReason
FAILURE_REASON_INPUT: FailureReason
FAILURE_REASON_OUTPUT: FailureReason
FAILURE_REASON_SECRET: FailureReason
FAILURE_REASON_ENVIRONMENT: FailureReason
FAILURE_REASON_EXECUTOR: FailureReason
FAILURE_REASON_GPU_LOST: FailureReason
FAILURE_REASON_LOST: FailureReason

class AssignTaskRequest(_message.Message):
    __slots__ = ("task_id", "task_class", "payload", "labels")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    task_class: TaskClass
    payload: bytes
    labels: _containers.ScalarMap[str, str]
    def __init__(self, task_id: _Optional[str] = ..., task_class: _Optional[_Union[TaskClass, str]] = ..., payload: _Optional[bytes] = ..., labels: _Optional[_Mapping[str, str]] = ...) -> None: ...

class AssignTaskResponse(_message.Message):
    __slots__ = ("task", "created")
    TASK_FIELD_NUMBER: _ClassVar[int]
    CREATED_FIELD_NUMBER: _ClassVar[int]
    task: Task
    created: bool
    def __init__(self, task: _Optional[_Union[Task, _Mapping]] = ..., created: _Optional[bool] = ...) -> None: ...

class PlanTaskRequest(_message.Message):
    __slots__ = ("task_id", "task_class", "payload")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    PAYLOAD_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    task_class: TaskClass
    payload: bytes
    def __init__(self, task_id: _Optional[str] = ..., task_class: _Optional[_Union[TaskClass, str]] = ..., payload: _Optional[bytes] = ...) -> None: ...

class PlanTaskResponse(_message.Message):
    __slots__ = ("plan", "runnable_now", "blocked_by")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    RUNNABLE_NOW_FIELD_NUMBER: _ClassVar[int]
    BLOCKED_BY_FIELD_NUMBER: _ClassVar[int]
    plan: Plan
    runnable_now: bool
    blocked_by: str
    def __init__(self, plan: _Optional[_Union[Plan, _Mapping]] = ..., runnable_now: _Optional[bool] = ..., blocked_by: _Optional[str] = ...) -> None: ...

class GetTaskRequest(_message.Message):
    __slots__ = ("task_id",)
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    def __init__(self, task_id: _Optional[str] = ...) -> None: ...

class ListTasksRequest(_message.Message):
    __slots__ = ("states", "classes", "tenant", "workflow_id", "labels", "page_size", "page_token")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STATES_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    states: _containers.RepeatedScalarFieldContainer[TaskState]
    classes: _containers.RepeatedScalarFieldContainer[TaskClass]
    tenant: str
    workflow_id: str
    labels: _containers.ScalarMap[str, str]
    page_size: int
    page_token: str
    def __init__(self, states: _Optional[_Iterable[_Union[TaskState, str]]] = ..., classes: _Optional[_Iterable[_Union[TaskClass, str]]] = ..., tenant: _Optional[str] = ..., workflow_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListTasksResponse(_message.Message):
    __slots__ = ("tasks", "next_page_token")
    TASKS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    tasks: _containers.RepeatedCompositeFieldContainer[Task]
    next_page_token: str
    def __init__(self, tasks: _Optional[_Iterable[_Union[Task, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class CancelTaskRequest(_message.Message):
    __slots__ = ("task_id", "grace", "reason")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    grace: _duration_pb2.Duration
    reason: str
    def __init__(self, task_id: _Optional[str] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., reason: _Optional[str] = ...) -> None: ...

class AcknowledgeTasksRequest(_message.Message):
    __slots__ = ("task_ids",)
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, task_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class AcknowledgeTasksResponse(_message.Message):
    __slots__ = ("not_acknowledged",)
    NOT_ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    not_acknowledged: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, not_acknowledged: _Optional[_Iterable[str]] = ...) -> None: ...

class WatchTasksRequest(_message.Message):
    __slots__ = ("task_ids", "tenant", "workflow_id", "after_sequence", "now", "until_done", "journal_id")
    TASK_IDS_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    UNTIL_DONE_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    task_ids: _containers.RepeatedScalarFieldContainer[str]
    tenant: str
    workflow_id: str
    after_sequence: int
    now: bool
    until_done: bool
    journal_id: str
    def __init__(self, task_ids: _Optional[_Iterable[str]] = ..., tenant: _Optional[str] = ..., workflow_id: _Optional[str] = ..., after_sequence: _Optional[int] = ..., now: _Optional[bool] = ..., until_done: _Optional[bool] = ..., journal_id: _Optional[str] = ...) -> None: ...

class TaskEvent(_message.Message):
    __slots__ = ("sequence", "time", "type", "task")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    time: _timestamp_pb2.Timestamp
    type: TaskEventType
    task: Task
    def __init__(self, sequence: _Optional[int] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., type: _Optional[_Union[TaskEventType, str]] = ..., task: _Optional[_Union[Task, _Mapping]] = ...) -> None: ...

class StreamOutputRequest(_message.Message):
    __slots__ = ("task_id", "attempt", "streams", "cursor", "tail_bytes", "follow")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    TAIL_BYTES_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    attempt: int
    streams: _containers.RepeatedScalarFieldContainer[OutputStream]
    cursor: str
    tail_bytes: int
    follow: bool
    def __init__(self, task_id: _Optional[str] = ..., attempt: _Optional[int] = ..., streams: _Optional[_Iterable[_Union[OutputStream, str]]] = ..., cursor: _Optional[str] = ..., tail_bytes: _Optional[int] = ..., follow: _Optional[bool] = ...) -> None: ...

class OutputChunk(_message.Message):
    __slots__ = ("task_id", "attempt", "stream", "offset", "data", "time", "cursor", "end", "gap")
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    CURSOR_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    GAP_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    attempt: int
    stream: OutputStream
    offset: int
    data: bytes
    time: _timestamp_pb2.Timestamp
    cursor: str
    end: OutputEnd
    gap: OutputGap
    def __init__(self, task_id: _Optional[str] = ..., attempt: _Optional[int] = ..., stream: _Optional[_Union[OutputStream, str]] = ..., offset: _Optional[int] = ..., data: _Optional[bytes] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., cursor: _Optional[str] = ..., end: _Optional[_Union[OutputEnd, _Mapping]] = ..., gap: _Optional[_Union[OutputGap, _Mapping]] = ...) -> None: ...

class OutputGap(_message.Message):
    __slots__ = ("bytes", "cause")
    BYTES_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    bytes: int
    cause: str
    def __init__(self, bytes: _Optional[int] = ..., cause: _Optional[str] = ...) -> None: ...

class OutputEnd(_message.Message):
    __slots__ = ("stdout_bytes", "stderr_bytes", "truncated", "stdout_sha256", "stderr_sha256")
    STDOUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    STDERR_BYTES_FIELD_NUMBER: _ClassVar[int]
    TRUNCATED_FIELD_NUMBER: _ClassVar[int]
    STDOUT_SHA256_FIELD_NUMBER: _ClassVar[int]
    STDERR_SHA256_FIELD_NUMBER: _ClassVar[int]
    stdout_bytes: int
    stderr_bytes: int
    truncated: bool
    stdout_sha256: str
    stderr_sha256: str
    def __init__(self, stdout_bytes: _Optional[int] = ..., stderr_bytes: _Optional[int] = ..., truncated: _Optional[bool] = ..., stdout_sha256: _Optional[str] = ..., stderr_sha256: _Optional[str] = ...) -> None: ...

class Task(_message.Message):
    __slots__ = ("task_id", "task_class", "state", "tenant", "workflow_id", "labels", "plan", "attempts", "progress", "result", "failure", "accept_time", "start_time", "end_time", "sequence", "cancel_request_time", "acknowledged", "trace_parent")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    TENANT_FIELD_NUMBER: _ClassVar[int]
    WORKFLOW_ID_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    RESULT_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    ACCEPT_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    CANCEL_REQUEST_TIME_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGED_FIELD_NUMBER: _ClassVar[int]
    TRACE_PARENT_FIELD_NUMBER: _ClassVar[int]
    task_id: str
    task_class: TaskClass
    state: TaskState
    tenant: str
    workflow_id: str
    labels: _containers.ScalarMap[str, str]
    plan: Plan
    attempts: _containers.RepeatedCompositeFieldContainer[Attempt]
    progress: Progress
    result: Result
    failure: Failure
    accept_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    sequence: int
    cancel_request_time: _timestamp_pb2.Timestamp
    acknowledged: bool
    trace_parent: str
    def __init__(self, task_id: _Optional[str] = ..., task_class: _Optional[_Union[TaskClass, str]] = ..., state: _Optional[_Union[TaskState, str]] = ..., tenant: _Optional[str] = ..., workflow_id: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., plan: _Optional[_Union[Plan, _Mapping]] = ..., attempts: _Optional[_Iterable[_Union[Attempt, _Mapping]]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., result: _Optional[_Union[Result, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., accept_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., sequence: _Optional[int] = ..., cancel_request_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., acknowledged: _Optional[bool] = ..., trace_parent: _Optional[str] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("mode", "executor", "image", "argv", "env", "working_dir", "user", "limits", "mounts", "inputs", "outputs", "secrets", "network", "max_attempts", "decisions")
    class EnvEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MODE_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    IMAGE_FIELD_NUMBER: _ClassVar[int]
    ARGV_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    WORKING_DIR_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    MOUNTS_FIELD_NUMBER: _ClassVar[int]
    INPUTS_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    SECRETS_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    MAX_ATTEMPTS_FIELD_NUMBER: _ClassVar[int]
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    mode: Mode
    executor: str
    image: str
    argv: _containers.RepeatedScalarFieldContainer[str]
    env: _containers.ScalarMap[str, str]
    working_dir: str
    user: str
    limits: Limits
    mounts: _containers.RepeatedCompositeFieldContainer[Mount]
    inputs: _containers.RepeatedCompositeFieldContainer[Artifact]
    outputs: _containers.RepeatedCompositeFieldContainer[Artifact]
    secrets: _containers.RepeatedScalarFieldContainer[str]
    network: str
    max_attempts: int
    decisions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, mode: _Optional[_Union[Mode, str]] = ..., executor: _Optional[str] = ..., image: _Optional[str] = ..., argv: _Optional[_Iterable[str]] = ..., env: _Optional[_Mapping[str, str]] = ..., working_dir: _Optional[str] = ..., user: _Optional[str] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., mounts: _Optional[_Iterable[_Union[Mount, _Mapping]]] = ..., inputs: _Optional[_Iterable[_Union[Artifact, _Mapping]]] = ..., outputs: _Optional[_Iterable[_Union[Artifact, _Mapping]]] = ..., secrets: _Optional[_Iterable[str]] = ..., network: _Optional[str] = ..., max_attempts: _Optional[int] = ..., decisions: _Optional[_Iterable[str]] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("wall_time", "grace", "cpu_cores", "memory_bytes", "max_processes", "disk_bytes", "output_bytes", "gpus", "idle_time")
    WALL_TIME_FIELD_NUMBER: _ClassVar[int]
    GRACE_FIELD_NUMBER: _ClassVar[int]
    CPU_CORES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MAX_PROCESSES_FIELD_NUMBER: _ClassVar[int]
    DISK_BYTES_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    IDLE_TIME_FIELD_NUMBER: _ClassVar[int]
    wall_time: _duration_pb2.Duration
    grace: _duration_pb2.Duration
    cpu_cores: float
    memory_bytes: int
    max_processes: int
    disk_bytes: int
    output_bytes: int
    gpus: int
    idle_time: _duration_pb2.Duration
    def __init__(self, wall_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., grace: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., cpu_cores: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., max_processes: _Optional[int] = ..., disk_bytes: _Optional[int] = ..., output_bytes: _Optional[int] = ..., gpus: _Optional[int] = ..., idle_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Mount(_message.Message):
    __slots__ = ("source", "target", "read_only")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    TARGET_FIELD_NUMBER: _ClassVar[int]
    READ_ONLY_FIELD_NUMBER: _ClassVar[int]
    source: str
    target: str
    read_only: bool
    def __init__(self, source: _Optional[str] = ..., target: _Optional[str] = ..., read_only: _Optional[bool] = ...) -> None: ...

class Artifact(_message.Message):
    __slots__ = ("path", "uri", "sha256", "size_bytes", "type")
    PATH_FIELD_NUMBER: _ClassVar[int]
    URI_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    path: str
    uri: str
    sha256: str
    size_bytes: int
    type: str
    def __init__(self, path: _Optional[str] = ..., uri: _Optional[str] = ..., sha256: _Optional[str] = ..., size_bytes: _Optional[int] = ..., type: _Optional[str] = ...) -> None: ...

class Attempt(_message.Message):
    __slots__ = ("number", "executor", "handle", "gpu_uuids", "prepare_time", "environment_ready_time", "inputs_ready_time", "start_time", "exit_time", "end_time", "exit_code", "signal", "usage", "failure", "image_digest")
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    HANDLE_FIELD_NUMBER: _ClassVar[int]
    GPU_UUIDS_FIELD_NUMBER: _ClassVar[int]
    PREPARE_TIME_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_READY_TIME_FIELD_NUMBER: _ClassVar[int]
    INPUTS_READY_TIME_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    EXIT_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    FAILURE_FIELD_NUMBER: _ClassVar[int]
    IMAGE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    number: int
    executor: str
    handle: str
    gpu_uuids: _containers.RepeatedScalarFieldContainer[str]
    prepare_time: _timestamp_pb2.Timestamp
    environment_ready_time: _timestamp_pb2.Timestamp
    inputs_ready_time: _timestamp_pb2.Timestamp
    start_time: _timestamp_pb2.Timestamp
    exit_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    exit_code: int
    signal: int
    usage: Usage
    failure: Failure
    image_digest: str
    def __init__(self, number: _Optional[int] = ..., executor: _Optional[str] = ..., handle: _Optional[str] = ..., gpu_uuids: _Optional[_Iterable[str]] = ..., prepare_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., environment_ready_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., inputs_ready_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., exit_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., exit_code: _Optional[int] = ..., signal: _Optional[int] = ..., usage: _Optional[_Union[Usage, _Mapping]] = ..., failure: _Optional[_Union[Failure, _Mapping]] = ..., image_digest: _Optional[str] = ...) -> None: ...

class Usage(_message.Message):
    __slots__ = ("cpu_time", "max_memory_bytes", "stdout_bytes", "stderr_bytes", "oom_kills")
    CPU_TIME_FIELD_NUMBER: _ClassVar[int]
    MAX_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    STDOUT_BYTES_FIELD_NUMBER: _ClassVar[int]
    STDERR_BYTES_FIELD_NUMBER: _ClassVar[int]
    OOM_KILLS_FIELD_NUMBER: _ClassVar[int]
    cpu_time: _duration_pb2.Duration
    max_memory_bytes: int
    stdout_bytes: int
    stderr_bytes: int
    oom_kills: int
    def __init__(self, cpu_time: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., max_memory_bytes: _Optional[int] = ..., stdout_bytes: _Optional[int] = ..., stderr_bytes: _Optional[int] = ..., oom_kills: _Optional[int] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("fraction", "step", "message", "time")
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    fraction: float
    step: str
    message: str
    time: _timestamp_pb2.Timestamp
    def __init__(self, fraction: _Optional[float] = ..., step: _Optional[str] = ..., message: _Optional[str] = ..., time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Result(_message.Message):
    __slots__ = ("latency", "outputs", "metrics", "value", "logs_url")
    class MetricsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    METRICS_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    LOGS_URL_FIELD_NUMBER: _ClassVar[int]
    latency: _duration_pb2.Duration
    outputs: _containers.RepeatedCompositeFieldContainer[Artifact]
    metrics: _containers.ScalarMap[str, float]
    value: bytes
    logs_url: str
    def __init__(self, latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., outputs: _Optional[_Iterable[_Union[Artifact, _Mapping]]] = ..., metrics: _Optional[_Mapping[str, float]] = ..., value: _Optional[bytes] = ..., logs_url: _Optional[str] = ...) -> None: ...

class Failure(_message.Message):
    __slots__ = ("reason", "message", "stderr_tail", "retryable", "fault")
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STDERR_TAIL_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    FAULT_FIELD_NUMBER: _ClassVar[int]
    reason: FailureReason
    message: str
    stderr_tail: str
    retryable: bool
    fault: Fault
    def __init__(self, reason: _Optional[_Union[FailureReason, str]] = ..., message: _Optional[str] = ..., stderr_tail: _Optional[str] = ..., retryable: _Optional[bool] = ..., fault: _Optional[_Union[Fault, str]] = ...) -> None: ...

class GetRunnerRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SetDrainRequest(_message.Message):
    __slots__ = ("drain", "reason")
    DRAIN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    drain: bool
    reason: str
    def __init__(self, drain: _Optional[bool] = ..., reason: _Optional[str] = ...) -> None: ...

class Runner(_message.Message):
    __slots__ = ("runner_id", "version", "draining", "executors", "classes", "gpus", "cpu_cores", "cpu_cores_free", "memory_bytes", "memory_bytes_free", "start_time", "last_sequence", "journal_id", "first_sequence")
    RUNNER_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DRAINING_FIELD_NUMBER: _ClassVar[int]
    EXECUTORS_FIELD_NUMBER: _ClassVar[int]
    CLASSES_FIELD_NUMBER: _ClassVar[int]
    GPUS_FIELD_NUMBER: _ClassVar[int]
    CPU_CORES_FIELD_NUMBER: _ClassVar[int]
    CPU_CORES_FREE_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FREE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    FIRST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    runner_id: str
    version: str
    draining: bool
    executors: _containers.RepeatedCompositeFieldContainer[Executor]
    classes: _containers.RepeatedCompositeFieldContainer[ClassStatus]
    gpus: _containers.RepeatedCompositeFieldContainer[Gpu]
    cpu_cores: float
    cpu_cores_free: float
    memory_bytes: int
    memory_bytes_free: int
    start_time: _timestamp_pb2.Timestamp
    last_sequence: int
    journal_id: str
    first_sequence: int
    def __init__(self, runner_id: _Optional[str] = ..., version: _Optional[str] = ..., draining: _Optional[bool] = ..., executors: _Optional[_Iterable[_Union[Executor, _Mapping]]] = ..., classes: _Optional[_Iterable[_Union[ClassStatus, _Mapping]]] = ..., gpus: _Optional[_Iterable[_Union[Gpu, _Mapping]]] = ..., cpu_cores: _Optional[float] = ..., cpu_cores_free: _Optional[float] = ..., memory_bytes: _Optional[int] = ..., memory_bytes_free: _Optional[int] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., last_sequence: _Optional[int] = ..., journal_id: _Optional[str] = ..., first_sequence: _Optional[int] = ...) -> None: ...

class Executor(_message.Message):
    __slots__ = ("name", "ready", "version", "problem", "modes")
    NAME_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    MODES_FIELD_NUMBER: _ClassVar[int]
    name: str
    ready: bool
    version: str
    problem: str
    modes: _containers.RepeatedScalarFieldContainer[Mode]
    def __init__(self, name: _Optional[str] = ..., ready: _Optional[bool] = ..., version: _Optional[str] = ..., problem: _Optional[str] = ..., modes: _Optional[_Iterable[_Union[Mode, str]]] = ...) -> None: ...

class ClassStatus(_message.Message):
    __slots__ = ("task_class", "limits", "running", "max_running", "queued", "max_queued", "default_executor")
    TASK_CLASS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    MAX_RUNNING_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    MAX_QUEUED_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_EXECUTOR_FIELD_NUMBER: _ClassVar[int]
    task_class: TaskClass
    limits: Limits
    running: int
    max_running: int
    queued: int
    max_queued: int
    default_executor: str
    def __init__(self, task_class: _Optional[_Union[TaskClass, str]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., running: _Optional[int] = ..., max_running: _Optional[int] = ..., queued: _Optional[int] = ..., max_queued: _Optional[int] = ..., default_executor: _Optional[str] = ...) -> None: ...

class Gpu(_message.Message):
    __slots__ = ("uuid", "index", "name", "memory_bytes", "healthy", "task_id", "problem")
    UUID_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    TASK_ID_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    uuid: str
    index: int
    name: str
    memory_bytes: int
    healthy: bool
    task_id: str
    problem: str
    def __init__(self, uuid: _Optional[str] = ..., index: _Optional[int] = ..., name: _Optional[str] = ..., memory_bytes: _Optional[int] = ..., healthy: _Optional[bool] = ..., task_id: _Optional[str] = ..., problem: _Optional[str] = ...) -> None: ...
