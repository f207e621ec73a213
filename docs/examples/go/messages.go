package main

// The messages of supervisor.v1 that this client uses, written from the .proto: field numbers and
// types are the contract, so a message may leave out what it does not read. Where protoc-gen-go is
// at hand, let it make these for you.

import "github.com/golang/protobuf/proto"

const (
	service       = "/supervisor.v1.Supervisor/"
	classCPUShort = 1

	eventCompleted = 7
	eventFailed    = 8
	eventCancelled = 9

	stderrStream = 2
)

var eventNames = map[int32]string{
	1: "accepted", 2: "preparing", 3: "started", 4: "progress", 5: "retrying", 6: "finalizing",
	eventCompleted: "completed", eventFailed: "failed", eventCancelled: "cancelled",
}

type AssignTaskRequest struct {
	TaskId    string            `protobuf:"bytes,1,opt,name=task_id,proto3"`
	TaskClass int32             `protobuf:"varint,2,opt,name=task_class,proto3"`
	Payload   []byte            `protobuf:"bytes,3,opt,name=payload,proto3"`
	Labels    map[string]string `protobuf:"bytes,4,rep,name=labels,proto3" protobuf_key:"bytes,1,opt,name=key,proto3" protobuf_val:"bytes,2,opt,name=value,proto3"`
}

type AssignTaskResponse struct {
	Task    *Task `protobuf:"bytes,1,opt,name=task,proto3"`
	Created bool  `protobuf:"varint,2,opt,name=created,proto3"`
}

type Task struct {
	TaskId   string   `protobuf:"bytes,1,opt,name=task_id,proto3"`
	State    int32    `protobuf:"varint,3,opt,name=state,proto3"`
	Failure  *Failure `protobuf:"bytes,11,opt,name=failure,proto3"`
	Sequence uint64   `protobuf:"varint,15,opt,name=sequence,proto3"`
}

type Failure struct {
	Reason  int32  `protobuf:"varint,1,opt,name=reason,proto3"`
	Message string `protobuf:"bytes,2,opt,name=message,proto3"`
}

type WatchTasksRequest struct {
	TaskIds       []string `protobuf:"bytes,1,rep,name=task_ids,proto3"`
	AfterSequence uint64   `protobuf:"varint,4,opt,name=after_sequence,proto3"`
	UntilDone     bool     `protobuf:"varint,6,opt,name=until_done,proto3"`
}

type TaskEvent struct {
	Sequence uint64 `protobuf:"varint,1,opt,name=sequence,proto3"`
	Type     int32  `protobuf:"varint,3,opt,name=type,proto3"`
	Task     *Task  `protobuf:"bytes,4,opt,name=task,proto3"`
}

type StreamOutputRequest struct {
	TaskId string `protobuf:"bytes,1,opt,name=task_id,proto3"`
	Cursor string `protobuf:"bytes,4,opt,name=cursor,proto3"`
	Follow bool   `protobuf:"varint,6,opt,name=follow,proto3"`
}

type OutputChunk struct {
	Stream int32      `protobuf:"varint,3,opt,name=stream,proto3"`
	Data   []byte     `protobuf:"bytes,5,opt,name=data,proto3"`
	Cursor string     `protobuf:"bytes,7,opt,name=cursor,proto3"`
	End    *OutputEnd `protobuf:"bytes,8,opt,name=end,proto3"`
}

type OutputEnd struct {
	StdoutSha256 string `protobuf:"bytes,4,opt,name=stdout_sha256,proto3"`
}

type AcknowledgeTasksRequest struct {
	TaskIds []string `protobuf:"bytes,1,rep,name=task_ids,proto3"`
}

type AcknowledgeTasksResponse struct {
	NotAcknowledged []string `protobuf:"bytes,1,rep,name=not_acknowledged,proto3"`
}

func (m *AssignTaskRequest) Reset()                { *m = AssignTaskRequest{} }
func (m *AssignTaskRequest) String() string        { return proto.CompactTextString(m) }
func (*AssignTaskRequest) ProtoMessage()           {}
func (m *AssignTaskResponse) Reset()               { *m = AssignTaskResponse{} }
func (m *AssignTaskResponse) String() string       { return proto.CompactTextString(m) }
func (*AssignTaskResponse) ProtoMessage()          {}
func (m *Task) Reset()                             { *m = Task{} }
func (m *Task) String() string                     { return proto.CompactTextString(m) }
func (*Task) ProtoMessage()                        {}
func (m *Failure) Reset()                          { *m = Failure{} }
func (m *Failure) String() string                  { return proto.CompactTextString(m) }
func (*Failure) ProtoMessage()                     {}
func (m *WatchTasksRequest) Reset()                { *m = WatchTasksRequest{} }
func (m *WatchTasksRequest) String() string        { return proto.CompactTextString(m) }
func (*WatchTasksRequest) ProtoMessage()           {}
func (m *TaskEvent) Reset()                        { *m = TaskEvent{} }
func (m *TaskEvent) String() string                { return proto.CompactTextString(m) }
func (*TaskEvent) ProtoMessage()                   {}
func (m *StreamOutputRequest) Reset()              { *m = StreamOutputRequest{} }
func (m *StreamOutputRequest) String() string      { return proto.CompactTextString(m) }
func (*StreamOutputRequest) ProtoMessage()         {}
func (m *OutputChunk) Reset()                      { *m = OutputChunk{} }
func (m *OutputChunk) String() string              { return proto.CompactTextString(m) }
func (*OutputChunk) ProtoMessage()                 {}
func (m *OutputEnd) Reset()                        { *m = OutputEnd{} }
func (m *OutputEnd) String() string                { return proto.CompactTextString(m) }
func (*OutputEnd) ProtoMessage()                   {}
func (m *AcknowledgeTasksRequest) Reset()          { *m = AcknowledgeTasksRequest{} }
func (m *AcknowledgeTasksRequest) String() string  { return proto.CompactTextString(m) }
func (*AcknowledgeTasksRequest) ProtoMessage()     {}
func (m *AcknowledgeTasksResponse) Reset()         { *m = AcknowledgeTasksResponse{} }
func (m *AcknowledgeTasksResponse) String() string { return proto.CompactTextString(m) }
func (*AcknowledgeTasksResponse) ProtoMessage()    {}
