package api

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"

	"github.com/proposer/proposer/internal/auth"
	"github.com/proposer/proposer/internal/testutil/certs"
	"github.com/proposer/proposer/internal/testutil/e2e"
	"github.com/proposer/proposer/internal/testutil/inferencepb"
)

// Python's client of gRPC, on which those of Triton and KServe are built, gets the boxes that HTTP gives.
func TestGRPCPython(t *testing.T) {
	const program = "testdata/grpc_client.py"
	if _, err := os.Stat(program); err != nil { // go test then knows that this test hangs on it
		t.Fatal(err)
	}
	python := e2e.Python(t, "import grpc, google.protobuf, numpy", "grpcio, protobuf and NumPy")
	folder := t.TempDir()
	file := func(name string, content []byte) string {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	image := small().PNG()
	png := file("image.png", image)
	descriptor, err := proto.Marshal(protodesc.ToFileDescriptorProto(inferencepb.File_open_inference_grpc_proto))
	if err != nil {
		t.Fatal(err)
	}
	pb := file("descriptor.binpb", descriptor)
	crt, key := filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	certs.WriteSelfSigned(t, crt, key, "proposer", time.Now().Add(time.Hour))
	cert, err := auth.LoadCertificate(crt, key)
	if err != nil {
		t.Fatal(err)
	}
	outputs := start(t, nil).inferHTTP(t, image, nil, map[string]any{"mode": "single", "max": 20})
	for _, certificate := range []string{"", crt} {
		t.Run(filepath.Base(certificate), func(t *testing.T) {
			s := newService(t, func(c *Config) {
				c.Authenticator, c.MaxImageBytes = tokens(t), 50_000
				if certificate != "" {
					c.TLSConfig = cert.TLSConfig()
				}
			})
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Serve(ctx, Listeners{HTTP: s.listener, GRPC: ln}) }()
			out := e2e.Output(t, exec.CommandContext(ctx, python, program, ln.Addr().String(), pb, png, certificate))
			stop()
			if err := <-ended; err != nil {
				t.Error(err)
			}
			var got struct {
				Live, Ready   bool
				Platform      string
				Shapes        [][]int64
				Boxes, Scores []float32
				Errors        [][3]any
			}
			if err := json.Unmarshal(out, &got); err != nil {
				t.Fatalf("%v in %s", err, out)
			}
			if !got.Live || !got.Ready || got.Platform != "proposer_selective_search" {
				t.Errorf("got %+v", got)
			}
			if !reflect.DeepEqual([]output{
				{"boxes", got.Shapes[0], bitsOf(got.Boxes)}, {"scores", got.Shapes[1], bitsOf(got.Scores)},
			}, outputs) {
				t.Errorf("got %v %v, want %v", got.Boxes, got.Scores, outputs)
			}
			for i, want := range [][2]string{{"INVALID_ARGUMENT", "schnell"}, {"INVALID_ARGUMENT", "JPEG"}, {"NOT_FOUND", "resnet"}, {"INVALID_ARGUMENT", "50000 bytes"}} {
				e := got.Errors[i]
				if text, _ := e[1].(string); e[0] != want[0] || !strings.Contains(text, want[1]) || e[2] != true {
					t.Errorf("error %d: got %v, want %v", i, e, want)
				}
			}
		})
	}
}
