package api

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/proposer/proposer/api/openinference"
	"github.com/proposer/proposer/box"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/testutil/inferencepb"
	"github.com/proposer/proposer/internal/testutil/scene"
)

// grpcService is a service on two in-memory networks with a generated client.
type grpcService struct {
	*service
	inferencepb.GRPCInferenceServiceClient
	conn  *grpc.ClientConn
	calls *memoryListener
}

// startGRPC returns a service that listens until the end of the test.
func startGRPC(t testing.TB, change func(*Config)) *grpcService {
	t.Helper()
	s := start(t, change)
	listener := newMemoryListener()
	listen(t, s.grpcServer(), listener)
	conn := dialGRPC(t, listener)
	t.Cleanup(func() { conn.Close() })
	return &grpcService{s, inferencepb.NewGRPCInferenceServiceClient(conn), conn, listener}
}

func dialGRPC(t testing.TB, listener *memoryListener) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient("passthrough:///memory",
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.dial(ctx) }),
	)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// element returns the binary form of a tensor of one element.
func element(image []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(image))), image...)
}

// parameters returns parameters of a request.
func parameters(values map[string]any) map[string]*inferencepb.InferParameter {
	params := map[string]*inferencepb.InferParameter{}
	for name, v := range values {
		p := &inferencepb.InferParameter{}
		switch v := v.(type) {
		case bool:
			p.ParameterChoice = &inferencepb.InferParameter_BoolParam{BoolParam: v}
		case int:
			p.ParameterChoice = &inferencepb.InferParameter_Int64Param{Int64Param: int64(v)}
		case uint64:
			p.ParameterChoice = &inferencepb.InferParameter_Uint64Param{Uint64Param: v}
		case string:
			p.ParameterChoice = &inferencepb.InferParameter_StringParam{StringParam: v}
		case float64:
			p.ParameterChoice = &inferencepb.InferParameter_DoubleParam{DoubleParam: v}
		}
		params[name] = p
	}
	return params
}

// inferRequest returns a request as tritonclient sends it.
func inferRequest(image []byte, params map[string]any) *inferencepb.ModelInferRequest {
	return &inferencepb.ModelInferRequest{
		ModelName:        "selective_search",
		Parameters:       parameters(params),
		Inputs:           []*inferencepb.ModelInferRequest_InferInputTensor{{Name: "image", Datatype: "BYTES", Shape: []int64{1}}},
		RawInputContents: [][]byte{element(image)},
	}
}

// wantProblem checks the status of a call and its details.
func wantProblem(t testing.TB, err error, code codes.Code, kind, text string) {
	t.Helper()
	s := status.Convert(err)
	if s.Code() != code || !strings.Contains(s.Message(), text) {
		t.Errorf("got %v %q, want %v %q", s.Code(), s.Message(), code, text)
	}
	retry := false
	var reason string
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			reason = d.Reason
			if d.Domain != "proposer" {
				t.Errorf("got domain %q", d.Domain)
			}
		case *errdetails.RetryInfo:
			retry = d.RetryDelay.AsDuration() > 0
		case *errdetails.BadRequest:
			for _, v := range d.FieldViolations {
				if !strings.Contains(v.Description, "want ") {
					t.Errorf("violation %v", v)
				}
			}
		default:
			t.Errorf("got detail %T", detail)
		}
	}
	if reason != strings.ToUpper(kind) {
		t.Errorf("got reason %q, want %s", reason, strings.ToUpper(kind))
	}
	if want := kind == "full" || kind == "rate" || kind == "draining" || kind == "deadline"; retry != want {
		t.Errorf("%s: got a retry delay: %t", kind, retry)
	}
}

func TestGRPCMetadata(t *testing.T) {
	s := startGRPC(t, func(c *Config) { c.Version = "v7" })
	ctx := t.Context()
	health := grpc_health_v1.NewHealthClient(s.conn)
	check := func(service string) (any, error) {
		return health.Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: service})
	}
	for _, draining := range []bool{false, true} {
		s.draining.Store(draining)
		serving := grpc_health_v1.HealthCheckResponse_SERVING
		if draining {
			serving = grpc_health_v1.HealthCheckResponse_NOT_SERVING
		}
		for name, c := range map[string]struct {
			call func() (any, error)
			want proto.Message
		}{
			"live":   {func() (any, error) { return s.ServerLive(ctx, nil) }, &inferencepb.ServerLiveResponse{Live: true}},
			"ready":  {func() (any, error) { return s.ServerReady(ctx, nil) }, &inferencepb.ServerReadyResponse{Ready: !draining}},
			"server": {func() (any, error) { return s.ServerMetadata(ctx, nil) }, &inferencepb.ServerMetadataResponse{Name: "proposer", Version: "v7"}},
			"model ready": {func() (any, error) {
				return s.ModelReady(ctx, &inferencepb.ModelReadyRequest{Name: "selective_search"})
			}, &inferencepb.ModelReadyResponse{Ready: !draining}},
			"model": {
				func() (any, error) {
					return s.ModelMetadata(ctx, &inferencepb.ModelMetadataRequest{Name: "selective_search", Version: "1"})
				}, &inferencepb.ModelMetadataResponse{
					Name: "selective_search", Versions: []string{"1"}, Platform: "proposer_selective_search",
					Inputs: []*inferencepb.ModelMetadataResponse_TensorMetadata{{Name: "image", Datatype: "BYTES", Shape: []int64{1}}},
					Outputs: []*inferencepb.ModelMetadataResponse_TensorMetadata{
						{Name: "boxes", Datatype: "FP32", Shape: []int64{-1, 4}}, {Name: "scores", Datatype: "FP32", Shape: []int64{-1}},
					},
				},
			},
			"health":              {func() (any, error) { return check("") }, &grpc_health_v1.HealthCheckResponse{Status: serving}},
			"health of a service": {func() (any, error) { return check("inference.GRPCInferenceService") }, &grpc_health_v1.HealthCheckResponse{Status: serving}},
		} {
			t.Run(fmt.Sprint(name, draining), func(t *testing.T) {
				got, err := c.call()
				if err != nil || !proto.Equal(got.(proto.Message), c.want) {
					t.Errorf("got %v, %v, want %v", got, err, c.want)
				}
			})
		}
	}
	_, err := check("other")
	wantProblem(t, err, codes.NotFound, "path", `service "other" is unknown`)
	_, err = s.ModelReady(ctx, &inferencepb.ModelReadyRequest{Name: "selective_search", Version: "2"})
	wantProblem(t, err, codes.NotFound, "path", `no version "2"`)
	_, err = s.ModelMetadata(ctx, &inferencepb.ModelMetadataRequest{Name: strings.Repeat("x", 5000)})
	wantProblem(t, err, codes.InvalidArgument, "request", "cannot be read")
	err = s.conn.Invoke(ctx, "/inference.GRPCInferenceService/ModelConfig", &inferencepb.ModelReadyRequest{}, &inferencepb.ModelReadyResponse{})
	wantProblem(t, err, codes.Unimplemented, "method", "does not implement")
}

// Requests over HTTP and gRPC get the same bytes.
func TestGRPCEqualsHTTP(t *testing.T) {
	s := startGRPC(t, nil)
	image := scene.Render(1, 32, 24, 2).PNG()
	queries := []struct {
		outputs []string
		params  map[string]any
	}{
		{nil, map[string]any{"max": 20}},
		{[]string{"scores"}, map[string]any{"max": uint64(7), "nms": 0.5}},
		{[]string{"scores", "boxes"}, map[string]any{"min-side": "4", "order": "paper", "seed": 3}},
	}
	for i, mode := range propose.Modes() {
		c := queries[i%len(queries)]
		params := maps.Clone(c.params)
		params["mode"] = mode
		want := s.inferHTTP(t, image, c.outputs, params)
		req := inferRequest(image, params)
		for _, name := range c.outputs {
			req.Outputs = append(req.Outputs, &inferencepb.ModelInferRequest_InferRequestedOutputTensor{Name: name})
		}
		for name, change := range map[string]func(*inferencepb.ModelInferRequest){
			"raw": func(*inferencepb.ModelInferRequest) {},
			"contents": func(r *inferencepb.ModelInferRequest) {
				r.RawInputContents = nil
				r.Inputs[0].Contents = &inferencepb.InferTensorContents{BytesContents: [][]byte{image}}
			},
			"batch": func(r *inferencepb.ModelInferRequest) { r.Inputs[0].Shape = []int64{1, 1} },
		} {
			t.Run(fmt.Sprint(mode, c.outputs, name), func(t *testing.T) {
				r := proto.Clone(req).(*inferencepb.ModelInferRequest)
				r.Id = "42"
				change(r)
				res, err := s.ModelInfer(t.Context(), r)
				if err != nil {
					t.Fatal(err)
				}
				if res.ModelName != "selective_search" || res.ModelVersion != "1" || res.Id != "42" {
					t.Errorf("got %v", res)
				}
				if got := outputsOf(t, res, len(r.RawInputContents) > 0); !reflect.DeepEqual(got, want) {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		}
	}
}

// output is an output tensor with its values as bits.
type output struct {
	Name  string
	Shape []int64
	Bits  []uint32
}

// outputsOf returns the outputs of a response, which are all raw or all not.
func outputsOf(t testing.TB, res *inferencepb.ModelInferResponse, raw bool) []output {
	t.Helper()
	if raw && len(res.RawOutputContents) != len(res.Outputs) || !raw && res.RawOutputContents != nil {
		t.Fatalf("got %d raw outputs of %d, raw: %t", len(res.RawOutputContents), len(res.Outputs), raw)
	}
	var outputs []output
	for i, o := range res.Outputs {
		values := o.GetContents().GetFp32Contents()
		if raw {
			values = make([]float32, len(res.RawOutputContents[i])/4)
			if _, err := binary.Decode(res.RawOutputContents[i], binary.LittleEndian, values); err != nil {
				t.Fatal(err)
			}
		}
		if o.Datatype != "FP32" {
			t.Errorf("got datatype %s", o.Datatype)
		}
		outputs = append(outputs, output{o.Name, o.Shape, bitsOf(values)})
	}
	return outputs
}

func bitsOf(values []float32) []uint32 {
	bits := make([]uint32, len(values))
	for i, v := range values {
		bits[i] = math.Float32bits(v)
	}
	return bits
}

// inferHTTP returns the outputs of a request over HTTP.
func (s *service) inferHTTP(t testing.TB, image []byte, names []string, params map[string]any) []output {
	t.Helper()
	type named struct {
		Name string `json:"name"`
	}
	outputs := make([]named, len(names))
	for i, name := range names {
		outputs[i].Name = name
	}
	body, err := json.Marshal(map[string]any{
		"inputs":     []any{map[string]any{"name": "image", "datatype": "BYTES", "shape": []int{1}, "data": []string{base64.StdEncoding.EncodeToString(image)}}},
		"outputs":    outputs,
		"parameters": params,
	})
	if err != nil {
		t.Fatal(err)
	}
	var res struct {
		Outputs []struct {
			Name  string    `json:"name"`
			Shape []int64   `json:"shape"`
			Data  []float32 `json:"data"`
		} `json:"outputs"`
	}
	r := s.postWith(t, inferPath, "application/json", body)
	if err := json.Unmarshal(r.body, &res); err != nil || r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	got := make([]output, len(res.Outputs))
	for i, o := range res.Outputs {
		got[i] = output{o.Name, o.Shape, bitsOf(o.Data)}
	}
	return got
}

func TestGRPCRejects(t *testing.T) {
	s := startGRPC(t, func(c *Config) { c.MaxImageBytes = 20_000; c.MaxImagePixels = 10_000 })
	s.run = func(context.Context, []byte, propose.Options) (*propose.Result, error) {
		panic("a search") // none of the requests gets here, except for the last two
	}
	image := small().PNG()
	shape := func(dims ...int64) func(*inferencepb.ModelInferRequest) {
		return func(r *inferencepb.ModelInferRequest) { r.Inputs[0].Shape = dims }
	}
	contents := func(c *inferencepb.InferTensorContents) func(*inferencepb.ModelInferRequest) {
		return func(r *inferencepb.ModelInferRequest) { r.RawInputContents, r.Inputs[0].Contents = nil, c }
	}
	raw := func(raw ...[]byte) func(*inferencepb.ModelInferRequest) {
		return func(r *inferencepb.ModelInferRequest) { r.RawInputContents = raw }
	}
	params := func(values map[string]any) func(*inferencepb.ModelInferRequest) {
		return func(r *inferencepb.ModelInferRequest) { r.Parameters = parameters(values) }
	}
	output := func(names ...string) func(*inferencepb.ModelInferRequest) {
		return func(r *inferencepb.ModelInferRequest) {
			for _, name := range names {
				r.Outputs = append(r.Outputs, &inferencepb.ModelInferRequest_InferRequestedOutputTensor{Name: name})
			}
		}
	}
	shared := parameters(map[string]any{"shared_memory_region": "x"})
	for name, c := range map[string]struct {
		change func(*inferencepb.ModelInferRequest)
		code   codes.Code
		kind   string
		want   string
	}{
		"unknown model":      {func(r *inferencepb.ModelInferRequest) { r.ModelName = "resnet" }, codes.NotFound, "path", `model "resnet" is unknown`},
		"unknown version":    {func(r *inferencepb.ModelInferRequest) { r.ModelVersion = "7" }, codes.NotFound, "path", `no version "7"`},
		"no input":           {func(r *inferencepb.ModelInferRequest) { r.Inputs = nil }, codes.InvalidArgument, "request", "no input"},
		"two inputs":         {func(r *inferencepb.ModelInferRequest) { r.Inputs = append(r.Inputs, r.Inputs[0]) }, codes.InvalidArgument, "request", "more than one input"},
		"input name":         {func(r *inferencepb.ModelInferRequest) { r.Inputs[0].Name = "img" }, codes.InvalidArgument, "request", `input "img" is unknown`},
		"datatype":           {func(r *inferencepb.ModelInferRequest) { r.Inputs[0].Datatype = "UINT8" }, codes.InvalidArgument, "request", `want "BYTES"`},
		"no shape":           {shape(), codes.InvalidArgument, "request", "no shape"},
		"shape of two":       {shape(2), codes.InvalidArgument, "request", "shape [2]: want [1] or [1,1]"},
		"shape of three":     {shape(1, 1, 1), codes.InvalidArgument, "request", "shape [1,1,1]"},
		"huge shape":         {shape(math.MaxInt64, math.MaxInt64), codes.InvalidArgument, "request", "shape [2147483647,2147483647]"},
		"negative dimension": {shape(-1), codes.InvalidArgument, "request", "shape [-1]"},
		"zero dimension":     {shape(0), codes.InvalidArgument, "request", "shape [0]"},
		"many dimensions":    {shape(make([]int64, 10_000)...), codes.InvalidArgument, "request", "shape [0,0,0,0,...]"},
		"contents and raw": {func(r *inferencepb.ModelInferRequest) {
			r.Inputs[0].Contents = &inferencepb.InferTensorContents{BytesContents: [][]byte{image}}
		}, codes.InvalidArgument, "request", "want one of them"},
		"no contents":       {raw(), codes.InvalidArgument, "request", "no contents"},
		"empty contents":    {contents(&inferencepb.InferTensorContents{BytesContents: [][]byte{{}}}), codes.InvalidArgument, "request", "is empty"},
		"two contents":      {contents(&inferencepb.InferTensorContents{BytesContents: [][]byte{image, image}}), codes.InvalidArgument, "request", "2 bytes_contents"},
		"other contents":    {contents(&inferencepb.InferTensorContents{UintContents: []uint32{1}}), codes.InvalidArgument, "request", "want bytes_contents"},
		"no length":         {raw([]byte("abc")), codes.InvalidArgument, "request", "3 binary bytes: want 4"},
		"short length":      {raw(append([]byte{1, 0, 0, 0}, image...)), codes.InvalidArgument, "request", "announce 1 more"},
		"long length":       {raw(append([]byte{0xff, 0xff, 0xff, 0xff}, image...)), codes.InvalidArgument, "request", "announce 4294967295 more"},
		"big-endian length": {raw(append(binary.BigEndian.AppendUint32(nil, uint32(len(image))), image...)), codes.InvalidArgument, "request", "little-endian"},
		"empty raw":         {raw(element(nil)), codes.InvalidArgument, "request", "is empty"},
		"two raw":           {raw(element(image), element(image)), codes.InvalidArgument, "request", "2 raw_input_contents"},
		"unknown output":    {output("boxes", "labels"), codes.InvalidArgument, "request", `output "labels" is unknown`},
		"65 outputs":        {output(slices.Repeat([]string{"boxes"}, 65)...), codes.InvalidArgument, "request", "requested twice"},
		"classification": {func(r *inferencepb.ModelInferRequest) {
			r.Inputs[0].Parameters = parameters(map[string]any{"classification": 3})
		}, codes.InvalidArgument, "request", "not supported"},
		"shared memory": {func(r *inferencepb.ModelInferRequest) {
			r.Outputs = []*inferencepb.ModelInferRequest_InferRequestedOutputTensor{{Name: "boxes", Parameters: shared}}
		}, codes.InvalidArgument, "request", "not supported"},
		"long id":             {func(r *inferencepb.ModelInferRequest) { r.Id = strings.Repeat("x", 2000) }, codes.InvalidArgument, "request", "id is 2000 bytes long"},
		"unknown option":      {params(map[string]any{"colours": "HSV"}), codes.InvalidArgument, "option", "colours"},
		"two invalid options": {params(map[string]any{"mode": "slow", "max": -1}), codes.InvalidArgument, "option", "max"},
		"threads":             {params(map[string]any{"threads": 4}), codes.InvalidArgument, "option", "threads"},
		"NaN":                 {params(map[string]any{"sigma": math.NaN()}), codes.InvalidArgument, "option", "sigma"},
		"no value":            {params(map[string]any{"max": nil}), codes.InvalidArgument, "request", "want a string, a number, true or false"},
		"long value":          {params(map[string]any{"mode": strings.Repeat("x", 2000)}), codes.InvalidArgument, "request", "2000 bytes long"},
		"not an image":        {raw(element([]byte("hello, this is no image"))), codes.InvalidArgument, "format", "JPEG"},
		"too many bytes":      {raw(element(make([]byte, 20_001))), codes.InvalidArgument, "size", "bytes"},
		"far too many bytes":  {raw(element(make([]byte, 200_000))), codes.InvalidArgument, "size", "more than 20000 bytes"},
		"panic":               {func(*inferencepb.ModelInferRequest) {}, codes.Internal, "internal", "internal error"},
		"ignored":             {params(map[string]any{"timeout": 3, "priority": uint64(1), "sequence_id": nil, "binary_data_output": true}), codes.Internal, "internal", "internal error"},
	} {
		t.Run(name, func(t *testing.T) {
			r := inferRequest(image, nil)
			c.change(r)
			_, err := s.ModelInfer(t.Context(), r)
			wantProblem(t, err, c.code, c.kind, c.want)
		})
	}
	s.wantNoMemory(t)
}

// wantNoMemory checks that no memory is reserved once the connections are closed.
func (s *grpcService) wantNoMemory(t testing.TB) {
	t.Helper()
	t.Cleanup(func() { // runs before that of startGRPC
		s.conn.Close()
		for s.admission.memory.inUse() > 0 {
			runtime.Gosched() // until the last handlers have returned
		}
	})
}

// roundTrip sends a request to the address of gRPC as any HTTP/2 client can.
func (s *grpcService) roundTrip(t testing.TB, method, path string, body io.Reader, headers ...string) *http.Response {
	t.Helper()
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return s.calls.dial(ctx) },
		Protocols:   &protocols,
	}
	t.Cleanup(transport.CloseIdleConnections)
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+s.calls.Addr().String()+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Set(name, value)
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// Messages that are announced and do not arrive take little memory, and time out.
func TestGRPCAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 50
		s := startGRPC(t, nil)
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() {
				body, stop := io.Pipe()
				defer stop.Close()
				go stop.Write([]byte("\x00\x03\xff\xff\xff\x3a\xff")) // 64 MiB
				res := s.roundTrip(t, "POST", "/inference.GRPCInferenceService/ModelInfer", body)
				r := readAll(t, res)
				if text := res.Trailer.Get("Grpc-Message"); res.Trailer.Get("Grpc-Status") != "4" || !strings.Contains(text, "did not arrive") || len(r.body) > 0 {
					t.Errorf("got %v, %q", res.Trailer, r.body)
				}
			})
		}
		s.wantInFlight(t, calls)
		if used := s.admission.memory.inUse(); used < calls*requestMemory || used > 2*calls*requestMemory {
			t.Errorf("%d bytes are reserved", used)
		}
		wg.Wait()
		s.wantInFlight(t, 0)
	})
}

// Bytes that no generated client sends.
func TestGRPCFraming(t *testing.T) {
	s := startGRPC(t, nil)
	const infer = "/inference.GRPCInferenceService/ModelInfer"
	message, err := proto.Marshal(inferRequest(small().PNG(), map[string]any{"mode": "single"}))
	if err != nil {
		t.Fatal(err)
	}
	framed := func(flag byte, length int, message string) string {
		return string(binary.BigEndian.AppendUint32([]byte{flag}, uint32(length))) + message
	}
	valid := framed(0, len(message), string(message))
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		status             int    // of HTTP
		code               string // of gRPC
		want               string
	}{
		"valid":                {"POST", infer, valid, nil, 200, "0", ""},
		"content type":         {"POST", infer, valid, []string{"Content-Type: application/grpc+proto"}, 200, "0", ""},
		"timeout":              {"POST", infer, valid, []string{"Grpc-Timeout: 99999999H"}, 200, "0", ""},
		"no message":           {"POST", infer, "", nil, 200, "3", "the call has 0 bytes: want a message"},
		"half a prefix":        {"POST", infer, "\x00\x00", nil, 200, "3", "the call has 2 bytes: want a message"},
		"truncated":            {"POST", infer, framed(0, len(message)+1, string(message)), nil, 200, "3", "want one message of"},
		"two messages":         {"POST", infer, valid + valid, nil, 200, "3", "want one message of"},
		"huge message":         {"POST", infer, framed(0, math.MaxInt32, ""), nil, 200, "3", "too large"},
		"not a message":        {"POST", infer, framed(0, 3, "\xff\xff\xff"), nil, 200, "3", "not a message of Protocol Buffers"},
		"compressed":           {"POST", infer, framed(1, 1, "x"), []string{"Grpc-Encoding: gzip"}, 200, "12", "compressed messages are not supported"},
		"flag alone":           {"POST", infer, framed(1, 1, "x"), nil, 200, "3", "no grpc-encoding"},
		"HTTP compression":     {"POST", infer, valid, []string{"Content-Encoding: gzip"}, 200, "3", "compressed request bodies"},
		"invalid timeout":      {"POST", infer, valid, []string{"Grpc-Timeout: soon"}, 200, "3", "grpc-timeout"},
		"expired":              {"POST", infer, valid, []string{"Grpc-Timeout: 1n"}, 200, "4", "time limit"},
		"unknown service":      {"POST", "/x.Y/Z", valid, nil, 200, "12", "does not implement"},
		"health, too large":    {"POST", healthCheck, framed(0, 5000, ""), nil, 200, "3", "cannot be read"},
		"health, wrong":        {"POST", healthCheck, framed(0, 1, "x"), nil, 200, "3", "not a message"},
		"watch":                {"POST", "/grpc.health.v1.Health/Watch", framed(0, 0, ""), nil, 200, "12", "does not implement"},
		"other content type":   {"POST", infer, valid, []string{"Content-Type: application/json"}, 415, "", "accepts only gRPC"},
		"gRPC-Web":             {"POST", infer, valid, []string{"Content-Type: application/grpc-web"}, 415, "", "accepts only gRPC"},
		"other method":         {"GET", infer, "", nil, 415, "", "accepts only gRPC"},
		"a path of HTTP":       {"GET", "/healthz", "", nil, 415, "", "accepts only gRPC"},
		"a path of HTTP, POST": {"POST", "/v1/proposals", valid, nil, 200, "12", "does not implement"},
	} {
		t.Run(name, func(t *testing.T) {
			res := s.roundTrip(t, c.method, c.path, strings.NewReader(c.body), c.headers...)
			r := readAll(t, res)
			text, _ := url.PathUnescape(res.Trailer.Get("Grpc-Message"))
			if c.code == "" {
				text = string(r.body)
			}
			if r.status != c.status || res.Trailer.Get("Grpc-Status") != c.code || !strings.Contains(text, c.want) {
				t.Errorf("got %d, %v, %q; want %d, %s %q", r.status, res.Trailer, text, c.status, c.code, c.want)
			}
			if c.code != "" && r.header.Get("Content-Type") != "application/grpc" {
				t.Errorf("got %v", r.header)
			}
			if c.code == "0" && len(r.body) < 100 || c.code != "0" && c.code != "" && len(r.body) > 0 {
				t.Errorf("got a body of %d bytes", len(r.body))
			}
		})
	}
}

// inferAsync calls ModelInfer and delivers its error later.
func (s *grpcService) inferAsync(ctx context.Context, image []byte) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := s.ModelInfer(ctx, inferRequest(image, nil))
		done <- err
	}()
	return done
}

// Calls pass the limits of other requests, and share them.
func TestGRPCLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startGRPC(t, func(c *Config) { c.Timeout = time.Minute })
		g := newGate(s.Server)
		image := small().PNG()
		working := s.inferAsync(t.Context(), image)
		<-g.begun
		waiting := []<-chan any{s.postAsync(t.Context(), image), s.postAsync(t.Context(), image)}
		s.wantInFlight(t, 3)
		_, err := s.ModelInfer(t.Context(), inferRequest(image, nil))
		wantProblem(t, err, codes.ResourceExhausted, "full", "retry after the delay in RetryInfo")
		close(g.open)
		if err := <-working; err != nil {
			t.Error(err)
		}
		wantOK(t, waiting...)
		if metrics := s.scrape(t); !strings.Contains(metrics, `proposer_http_requests_total{code="429",route="/inference.GRPCInferenceService/ModelInfer"} 1`) ||
			!strings.Contains(metrics, `proposer_http_requests_total{code="200",route="/inference.GRPCInferenceService/ModelInfer"} 1`) {
			t.Errorf("got metrics\n%s", metrics)
		}
		s.wantInFlight(t, 0)
	})
}

// A call ends when its client cancels it, when the client's deadline passes, and when the service's does.
func TestGRPCEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := startGRPC(t, func(c *Config) { c.Timeout = time.Minute })
		g := newGate(s.Server)
		image := small().PNG()
		ctx, cancel := context.WithCancel(t.Context())
		canceled := s.inferAsync(ctx, image)
		search := <-g.begun
		cancel()
		<-search.Done()
		if got := status.Code(<-canceled); got != codes.Canceled {
			t.Errorf("canceled: got %v", got)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		for _, ctx := range []context.Context{short, t.Context()} {
			late := s.inferAsync(ctx, image)
			search := <-g.begun
			<-search.Done()
			if got := status.Code(<-late); got != codes.DeadlineExceeded {
				t.Errorf("late: got %v", got)
			}
		}
		s.wantInFlight(t, 0)
		if used := s.admission.memory.inUse(); used != 0 {
			t.Errorf("%d bytes are reserved", used)
		}
	})
}

// Probes are answered without memory, other calls are rejected.
func TestGRPCMemory(t *testing.T) {
	s := startGRPC(t, nil)
	s.admission.memory.total = 0
	_, err := s.ServerMetadata(t.Context(), nil)
	wantProblem(t, err, codes.ResourceExhausted, "full", "capacity")
	_, err = s.ModelInfer(t.Context(), inferRequest(small().PNG(), nil))
	wantProblem(t, err, codes.ResourceExhausted, "full", "capacity")
	if _, err := grpc_health_v1.NewHealthClient(s.conn).Check(t.Context(), nil); err != nil {
		t.Error(err)
	}
	if _, err := s.ServerReady(t.Context(), nil); err != nil {
		t.Error(err)
	}
	// There is memory for a call, not for its message.
	s.admission.memory.total = 5 * requestMemory / 2
	_, err = s.ModelInfer(t.Context(), inferRequest(make([]byte, 3*requestMemory), nil))
	wantProblem(t, err, codes.ResourceExhausted, "full", "capacity")
	s.admission.memory.total = 1 << 30
	s.wantNoMemory(t)
}

func TestGRPCTokensAndRate(t *testing.T) {
	s := startGRPC(t, func(c *Config) { c.Authenticator = tokens(t); c.RateLimit = 2 })
	call := func(authorization ...string) error {
		ctx := metadata.AppendToOutgoingContext(t.Context(), authorization...)
		_, err := s.ModelReady(ctx, &inferencepb.ModelReadyRequest{Name: "selective_search"})
		return err
	}
	wantProblem(t, call(), codes.Unauthenticated, "token", "bearer token")
	wantProblem(t, call("authorization", "Bearer wrong"), codes.Unauthenticated, "token", "bearer token")
	if err := call("authorization", "Bearer alice-0123456789abcdef"); err != nil {
		t.Error(err)
	}
	// The limit is that of HTTP and gRPC together.
	req, err := http.NewRequest("GET", s.url+"/v2", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer alice-0123456789abcdef")
	if r := s.send(t, req); r.status != http.StatusOK {
		t.Errorf("got %d %s", r.status, r.body)
	}
	wantProblem(t, call("authorization", "Bearer alice-0123456789abcdef"), codes.ResourceExhausted, "rate", "images per minute")
	for range 3 { // probes need no token and have no limit
		if _, err := grpc_health_v1.NewHealthClient(s.conn).Check(t.Context(), nil); err != nil {
			t.Error(err)
		}
	}
}

func TestGRPCRequestID(t *testing.T) {
	s := startGRPC(t, nil)
	var header metadata.MD
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-request-id", "mine")
	if _, err := s.ServerLive(ctx, nil, grpc.Header(&header)); err != nil || !slices.Equal(header.Get("x-request-id"), []string{"mine"}) {
		t.Errorf("got %v, %v", header, err)
	}
}

// Serve serves all listeners with the same certificate, and drains them.
func TestGRPCServe(t *testing.T) {
	for _, encrypted := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %t", encrypted), func(t *testing.T) {
			cert, pool := certificate(t)
			s := newService(t, func(c *Config) {
				if encrypted {
					c.TLSConfig = cert.TLSConfig()
				}
			})
			g := newGate(s.Server)
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Serve(ctx, Listeners{HTTP: s.listener, GRPC: ln}) }()

			creds := insecure.NewCredentials()
			if encrypted {
				creds = credentials.NewClientTLSFromCert(pool, "")
			}
			conn, err := grpc.NewClient(ln.Addr().String(), grpc.WithTransportCredentials(creds))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			client := &grpcService{service: s, GRPCInferenceServiceClient: inferencepb.NewGRPCInferenceServiceClient(conn)}
			working := client.inferAsync(t.Context(), small().PNG())
			<-g.begun
			stop()
			health := grpc_health_v1.NewHealthClient(conn)
			for {
				res, err := health.Check(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				if res.Status == grpc_health_v1.HealthCheckResponse_NOT_SERVING {
					break
				}
			}
			_, err = client.ModelInfer(t.Context(), inferRequest(small().PNG(), nil))
			wantProblem(t, err, codes.Unavailable, "draining", "shutting down")
			close(g.open)
			if err := <-working; err != nil {
				t.Error(err)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// The table in problem.go is that of the service.
func TestGRPCCodes(t *testing.T) {
	source, err := os.ReadFile("problem.go")
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^//\t\d{3} (\w+) +([A-Z_]+|-) `).FindAllStringSubmatch(string(source), -1) {
		if row[2] != "-" {
			got[row[1]] = row[2]
		}
	}
	want := map[string]string{}
	for kind, code := range grpcCodes {
		var c codes.Code
		for name := range maps.Values(got) {
			if c.UnmarshalJSON([]byte(strconv.Quote(name))) == nil && c == codes.Code(code) {
				want[kind] = name
			}
		}
	}
	if !maps.Equal(got, want) || len(got) < 10 {
		t.Errorf("the table has %v, the service %v", got, want)
	}
}

// A listener that waits for connections does not take those of another.
func TestConnectionLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := newConnections(Config{MaxConnections: 1}, newTestMemory(1<<20))
		a, b := newMemoryListener(), newMemoryListener()
		accepted := make(chan net.Conn, 2)
		var wg sync.WaitGroup
		for _, ln := range []*memoryListener{a, b} {
			limited := limit.serve(&http.Server{}, ln)
			t.Cleanup(func() { limited.Close(); limited.Close() })
			wg.Go(func() {
				for {
					conn, err := limited.Accept()
					if err != nil {
						return
					}
					accepted <- conn
				}
			})
			conn, err := ln.dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
		}
		first := <-accepted
		synctest.Wait()
		if len(accepted) > 0 {
			t.Fatal("two connections are open, want one")
		}
		first.Close()
		first.Close() // counts once
		second := <-accepted
		synctest.Wait()
		if n := limit.memory.inUse(); len(limit.places) != 1 || n != connectionMemory {
			t.Errorf("%d connections are counted, of %d bytes, want 1 of %d", len(limit.places), n, connectionMemory)
		}
		second.Close()
		if n := limit.memory.inUse(); n != 0 {
			t.Errorf("%d bytes remain reserved", n)
		}
	})
}

// BenchmarkInference compares the transports: with a search that takes no time, so that only the
// transport is measured, and with that of a small image. Four clients send requests over the network.
func BenchmarkInference(b *testing.B) {
	s := newService(b, func(c *Config) { c.Workers, c.Queue, c.Logger = 8, 8, slog.New(slog.DiscardHandler) })
	var listeners [2]net.Listener
	for i := range listeners {
		var err error
		if listeners[i], err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			b.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, Listeners{HTTP: listeners[0], GRPC: listeners[1]}) }()
	defer func() { stop(); <-ended }()
	conn, err := grpc.NewClient(listeners[1].Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	client := inferencepb.NewGRPCInferenceServiceClient(conn)
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	defer transport.CloseIdleConnections()

	overHTTP := func(image []byte) error {
		req, err := http.NewRequest("POST", "http://"+listeners[0].Addr().String()+inferPath, bytes.NewReader(image))
		if err != nil {
			return err
		}
		req.Header.Set(openinference.HeaderLength, "0")
		res, err := transport.RoundTrip(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %w", res.Status, err)
		}
		return nil
	}
	overGRPC := func(image []byte) error {
		_, err := client.ModelInfer(ctx, inferRequest(image, nil))
		return err
	}
	instant := func(context.Context, []byte, propose.Options) (*propose.Result, error) {
		return &propose.Result{Boxes: make([]box.Box, 2000), Scores: make([]float32, 2000), DecodeTime: 1, SearchTime: 1}, nil
	}
	for _, c := range []struct {
		name  string
		image []byte
		run   func(context.Context, []byte, propose.Options) (*propose.Result, error)
	}{
		{"transport/200kB", append(small().PNG(), make([]byte, 200<<10)...), instant},
		{"transport/10kB", small().PNG(), instant},
		{"search/64x48", small().PNG(), runSearch},
	} {
		for name, call := range map[string]func([]byte) error{"http": overHTTP, "grpc": overGRPC} {
			b.Run(c.name+"/"+name, func(b *testing.B) {
				s.run = c.run
				b.ReportAllocs()
				b.SetParallelism(max(4/runtime.GOMAXPROCS(0), 1))
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := call(c.image); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}
