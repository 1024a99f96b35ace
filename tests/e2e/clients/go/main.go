// A Go client of hocket.v1: makes each kind of call once and prints what it saw as one line of JSON.
//
//	smoke HOST:PORT
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	pb "hocket/v1"
)

const limit = 60 * time.Second // Of any one call that is not meant to be cut short.

// choiceLine is what came of one choice.
type choiceLine struct {
	Text         string   `json:"text"`
	TokenIDs     []int32  `json:"token_ids"`
	LogprobBits  []uint32 `json:"logprob_bits"` // As IEEE 754 says, alternatives included.
	FinishReason string   `json:"finish_reason"`
	choiceTokens int64
}

func (c *choiceLine) addScores(scores []*pb.TokenScore) {
	for _, score := range scores {
		c.LogprobBits = append(c.LogprobBits, math.Float32bits(score.GetLogprob()))
		for _, alternative := range score.Top {
			c.LogprobBits = append(c.LogprobBits, math.Float32bits(alternative.Logprob))
		}
	}
}

// answer is a stream, folded.
type answer struct {
	started *pb.Started
	choices []*choiceLine
	usage   *pb.Usage
}

func newAnswer(choices int) *answer {
	a := &answer{}
	for i := 0; i < choices; i++ {
		a.choices = append(a.choices, &choiceLine{TokenIDs: []int32{}, LogprobBits: []uint32{}})
	}
	return a
}

func (a *answer) add(response *pb.StreamGenerateResponse) {
	switch event := response.Event.(type) {
	case *pb.StreamGenerateResponse_Started:
		a.started = event.Started
	case *pb.StreamGenerateResponse_Delta:
		choice := a.choices[event.Delta.ChoiceIndex]
		choice.Text += event.Delta.Text
		choice.TokenIDs = append(choice.TokenIDs, event.Delta.TokenIds...)
		choice.addScores(event.Delta.Logprobs)
		choice.choiceTokens = event.Delta.ChoiceTokens
	case *pb.StreamGenerateResponse_Finished:
		a.choices[event.Finished.ChoiceIndex].FinishReason = event.Finished.FinishReason.String()
		if event.Finished.Usage != nil {
			a.usage = event.Finished.Usage
		}
	}
}

// fold reads a stream to its end.
func (a *answer) fold(stream pb.Hocket_StreamGenerateClient) error {
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		a.add(response)
	}
}

// failure is how a call ended.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message,omitempty"`
	Reason  string `json:"reason"`
}

func failureOf(err error) failure {
	s := status.Convert(err)
	f := failure{Code: s.Code().String(), Message: s.Message()}
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			f.Reason = info.Reason
		}
	}
	return f
}

func connect(target string) (*grpc.ClientConn, pb.HocketClient) {
	connection, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(err)
	return connection, pb.NewHocketClient(connection)
}

func must(err error) {
	if err != nil {
		log.Fatalf("smoke: %v", err)
	}
}

func within() context.Context {
	// The process ends before the timer could matter.
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	_ = cancel
	return ctx
}

func story() *pb.GenerateRequest {
	return &pb.GenerateRequest{
		Input: &pb.GenerateRequest_Text{Text: "Once upon a time"},
		Sampling: &pb.SamplingSettings{
			Temperature: proto.Float32(0.9), TopP: proto.Float32(0.95),
			Seed: proto.Uint64(math.MaxUint64 - 6)},
		Stopping: &pb.StoppingSettings{MaxNewTokens: proto.Int32(64)},
		Output:   &pb.OutputSettings{TopLogprobs: proto.Int32(2)},
	}
}

// endless goes on until somebody ends it.
func endless() *pb.GenerateRequest {
	request := story()
	request.Stopping = &pb.StoppingSettings{MaxNewTokens: proto.Int32(1000000), IgnoreEos: proto.Bool(true)}
	request.Context = &pb.ContextSettings{Policy: pb.ContextPolicy_CONTEXT_POLICY_ROLL.Enum()}
	return request
}

// pair has two choices; each is long enough to be broken off in its middle.
func pair(id string) *pb.GenerateRequest {
	request := story()
	request.RequestId = id
	request.Stopping = &pb.StoppingSettings{MaxNewTokens: proto.Int32(200), IgnoreEos: proto.Bool(true)}
	request.Choices = &pb.ChoiceSettings{N: proto.Int32(2)}
	return request
}

func stream(hocket pb.HocketClient, request *pb.GenerateRequest) *answer {
	calls, err := hocket.StreamGenerate(within(), request)
	must(err)
	folded := newAnswer(1)
	must(folded.fold(calls))
	return folded
}

func unary(hocket pb.HocketClient, request *pb.GenerateRequest) *choiceLine {
	response, err := hocket.Generate(within(), request)
	must(err)
	choice := response.Choices[0]
	line := &choiceLine{Text: choice.Text, TokenIDs: choice.TokenIds, FinishReason: choice.FinishReason.String()}
	line.addScores(choice.Logprobs)
	return line
}

// repeat asks again with the settings that the first answer told.
func repeat(hocket pb.HocketClient, told *pb.EffectiveSettings) *choiceLine {
	return unary(hocket, &pb.GenerateRequest{
		Input:    &pb.GenerateRequest_Text{Text: "Once upon a time"},
		Sampling: told.Sampling, Stopping: told.Stopping, Choices: told.Choices, Output: told.Output,
		Context: told.Context, Scheduling: told.Scheduling, Speculation: told.Speculation,
		AddSpecialTokens: told.AddSpecialTokens,
	})
}

func roundTrip(hocket pb.HocketClient, text string) string {
	tokens, err := hocket.Tokenize(within(), &pb.TokenizeRequest{
		Input: &pb.TokenizeRequest_Text{Text: text}, AddSpecialTokens: proto.Bool(false)})
	must(err)
	back, err := hocket.Detokenize(within(), &pb.DetokenizeRequest{TokenIds: tokens.TokenIds})
	must(err)
	return back.Text
}

func refused(hocket pb.HocketClient) failure {
	request := story()
	request.Sampling.TopP = proto.Float32(2)
	_, err := hocket.Generate(within(), request)
	return failureOf(err)
}

func late(hocket pb.HocketClient) failure {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err := hocket.Generate(ctx, endless())
	f := failureOf(err)
	f.Message = "" // The client's own timer may have been first.
	return f
}

func cancelled(hocket, other pb.HocketClient) map[string]interface{} {
	request := endless()
	request.RequestId = "go-cancelled"
	calls, err := hocket.StreamGenerate(within(), request)
	must(err)
	folded := newAnswer(1)
	for folded.choices[0].choiceTokens == 0 {
		response, err := calls.Recv()
		must(err)
		folded.add(response)
	}
	response, err := other.Cancel(within(), &pb.CancelRequest{RequestId: request.RequestId})
	must(err)
	end := failureOf(folded.fold(calls))
	return map[string]interface{}{
		"found": response.Found, "code": end.Code, "finish_reason": folded.choices[0].FinishReason}
}

// broken loses its stream in the middle and takes it up again on another connection.
func broken(hocket, other pb.HocketClient) []*choiceLine {
	request := pair("go-broken")
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	calls, err := hocket.StreamGenerate(ctx, request)
	must(err)
	folded := newAnswer(2)
	for folded.choices[0].choiceTokens < 20 || folded.choices[1].choiceTokens < 20 {
		response, err := calls.Recv()
		must(err)
		folded.add(response)
	}
	cancel()
	request.Resume = &pb.Resume{TokenOffsets: []int64{
		folded.choices[0].choiceTokens, folded.choices[1].choiceTokens}}
	calls, err = other.StreamGenerate(within(), request)
	must(err)
	must(folded.fold(calls))
	return folded.choices
}

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: smoke HOST:PORT")
	}
	connection, hocket := connect(os.Args[1])
	defer connection.Close()
	second, other := connect(os.Args[1])
	defer second.Close()

	described, err := hocket.GetModel(within(), &pb.GetModelRequest{})
	must(err)
	streamed := stream(hocket, story())
	settings := streamed.started.Settings
	line, err := json.Marshal(map[string]interface{}{
		"language":     "go",
		"model":        described.Model.Name,
		"vocabulary":   described.Model.VocabularySize,
		"round_trip":   roundTrip(hocket, "A naïve café 🦊 said “hello”."),
		"streamed":     streamed.choices[0],
		"generated":    streamed.usage.GeneratedTokens,
		"seed":         fmt.Sprint(settings.Sampling.GetSeed()),
		"max_new":      settings.Stopping.GetMaxNewTokens(),
		"top_p_bits":   math.Float32bits(settings.Sampling.GetTopP()),
		"top_logprobs": settings.Output.GetTopLogprobs(),
		"unary":        unary(hocket, story()),
		"repeated":     repeat(hocket, settings),
		"refused":      refused(hocket),
		"late":         late(hocket),
		"cancelled":    cancelled(hocket, other),
		"broken":       broken(hocket, other),
	})
	must(err)
	fmt.Println(string(line))
}
