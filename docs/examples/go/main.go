// Hands a task to a runner, prints its output and its events, and acknowledges it.
//
//	client ADDRESS TASK_ID PAYLOAD_FILE
//
// ADDRESS is unix:/path or host:port. Output goes to stdout and stderr as the task wrote it, events
// to stderr, a line each; the exit code is 0 where the task completed, else 1. A stream that ends
// with UNAVAILABLE is opened again after the last message that was taken, as the protocol allows.
//
// Built with Debian's packages, without a network:
//
//	apt-get install golang-go golang-google-grpc-dev
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o client ./docs/examples/go
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: client ADDRESS TASK_ID PAYLOAD_FILE")
		os.Exit(2)
	}
	payload, err := os.ReadFile(os.Args[3])
	if err == nil {
		err = run(context.Background(), os.Args[1], os.Args[2], payload)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, address, id string, payload []byte) error {
	runner, err := grpc.Dial(address, grpc.WithInsecure())
	if err != nil {
		return err
	}
	defer runner.Close()

	// Idempotent: with the same id and content it may be sent again, however often.
	assigned := &AssignTaskResponse{}
	request := &AssignTaskRequest{
		TaskId: id, TaskClass: classCPUShort, Payload: payload,
		Labels: map[string]string{"client": "go"},
	}
	err = again(func() error { return runner.Invoke(ctx, service+"AssignTask", request, assigned) })
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "assigned %s created=%t\n", id, assigned.Created)

	if err := output(ctx, runner, id); err != nil {
		return err
	}
	end, err := watch(ctx, runner, id)
	if err != nil {
		return err
	}

	// What is acknowledged may be forgotten: say so once the result is safe with you.
	answer := &AcknowledgeTasksResponse{}
	acknowledge := &AcknowledgeTasksRequest{TaskIds: []string{id}}
	err = again(func() error {
		return runner.Invoke(ctx, service+"AcknowledgeTasks", acknowledge, answer)
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "acknowledged, %d refused\n", len(answer.NotAcknowledged))
	if end.Type != eventCompleted {
		return fmt.Errorf("the task %s: %s", eventNames[end.Type], end.Task.Failure.message())
	}
	return nil
}

// output prints what the task writes until it has ended, and proves that no byte of it is missing.
func output(ctx context.Context, runner *grpc.ClientConn, id string) error {
	request := &StreamOutputRequest{TaskId: id, Follow: true}
	digest := sha256.New()
	return again(func() error {
		return stream(ctx, runner, "StreamOutput", request, func(call grpc.ClientStream) error {
			chunk := &OutputChunk{}
			if err := call.RecvMsg(chunk); err != nil {
				return err
			}
			if chunk.Cursor != "" {
				request.Cursor = chunk.Cursor
			}
			if chunk.Stream == stderrStream {
				os.Stderr.Write(chunk.Data)
			} else {
				os.Stdout.Write(chunk.Data)
				digest.Write(chunk.Data)
			}
			if chunk.End == nil {
				return nil
			}
			if hex.EncodeToString(digest.Sum(nil)) != chunk.End.StdoutSha256 {
				return fmt.Errorf("stdout did not arrive whole")
			}
			digest.Reset() // the next attempt's
			return nil
		})
	})
}

// watch tells the task's events from its acceptance to its end, each once, and returns the last.
func watch(ctx context.Context, runner *grpc.ClientConn, id string) (*TaskEvent, error) {
	request := &WatchTasksRequest{TaskIds: []string{id}, UntilDone: true}
	last := &TaskEvent{}
	err := again(func() error {
		return stream(ctx, runner, "WatchTasks", request, func(call grpc.ClientStream) error {
			event := &TaskEvent{}
			if err := call.RecvMsg(event); err != nil {
				return err
			}
			request.AfterSequence = event.Sequence
			last = event
			fmt.Fprintf(os.Stderr, "event %s\n", eventNames[event.Type])
			return nil
		})
	})
	return last, err
}

// stream calls a method that answers with many messages, and take for each of them.
func stream(
	ctx context.Context, runner *grpc.ClientConn, method string, request interface{},
	take func(grpc.ClientStream) error,
) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	call, err := runner.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, service+method)
	if err != nil {
		return err
	}
	if err := call.SendMsg(request); err != nil && err != io.EOF {
		return err
	}
	if err := call.CloseSend(); err != nil {
		return err
	}
	for {
		if err := take(call); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// again tries until it is well, or goes wrong in another way than UNAVAILABLE, for a minute.
func again(try func() error) error {
	giveUp := time.Now().Add(time.Minute)
	for pause := 100 * time.Millisecond; ; pause *= 2 {
		err := try()
		if status.Code(err) != codes.Unavailable || time.Now().After(giveUp) {
			return err
		}
		if pause > 2*time.Second {
			pause = 2 * time.Second
		}
		time.Sleep(pause)
	}
}

func (f *Failure) message() string {
	if f == nil {
		return ""
	}
	return f.Message
}
