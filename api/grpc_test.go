package api

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/internal/testutil/inferencepb"
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
	hs := s.grpcServer()
	var conns sync.WaitGroup
	hs.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			conns.Add(1)
		case http.StateClosed, http.StateHijacked:
			conns.Done()
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- hs.Serve(listener) }()
	conn := dialGRPC(t, listener)
	t.Cleanup(func() {
		conn.Close()
		hs.Close()
		<-ended
		conns.Wait()
	})
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
	image := small().PNG()
	for _, mode := range propose.Modes() {
		for _, c := range []struct {
			outputs []string
			params  map[string]any
		}{
			{nil, map[string]any{"max": 20}},
			{[]string{"scores"}, map[string]any{"max": uint64(7), "nms": 0.5}},
			{[]string{"scores", "boxes"}, map[string]any{"min-side": "10", "order": "paper", "seed": 3}},
		} {
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
