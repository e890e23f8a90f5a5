package rpc

import (
	"encoding/base64"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func TestCodes(t *testing.T) {
	for got, want := range map[Code]codes.Code{
		OK: codes.OK, Canceled: codes.Canceled, InvalidArgument: codes.InvalidArgument, DeadlineExceeded: codes.DeadlineExceeded,
		NotFound: codes.NotFound, ResourceExhausted: codes.ResourceExhausted, Unimplemented: codes.Unimplemented,
		Internal: codes.Internal, Unavailable: codes.Unavailable, Unauthenticated: codes.Unauthenticated,
	} {
		if codes.Code(got) != want {
			t.Errorf("got %d, want %d, %v", got, want, want)
		}
	}
}

func TestParseTimeout(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0n": 0, "1n": 1, "2u": 2000, "3m": 3 * time.Millisecond, "4S": 4 * time.Second, "5M": 5 * time.Minute, "6H": 6 * time.Hour,
		"99999999S": 99999999 * time.Second, "99999999H": math.MaxInt64, "00000001S": time.Second,
		"": -1, "S": -1, "1": -1, "1s": -1, "-1S": -1, "+1S": -1, "1.5S": -1, "100000000n": -1, "1_0S": -1, " 1S": -1,
	} {
		t.Run(text, func(t *testing.T) {
			if got, ok := ParseTimeout(text); ok != (want >= 0) || ok && got != want {
				t.Errorf("got %v, %t, want %v", got, ok, want)
			}
		})
	}
}

func TestIsContentType(t *testing.T) {
	for text, want := range map[string]bool{
		"application/grpc": true, "application/grpc+proto": true, "Application/gRPC; charset=utf-8": true,
		"": false, "application/grpc+json": false, "application/grpc-web": false, "application/json": false,
	} {
		if got := IsContentType(text); got != want {
			t.Errorf("%q: got %t, want %t", text, got, want)
		}
	}
}

func TestPrefix(t *testing.T) {
	body := append(make([]byte, PrefixLen), strings.Repeat("x", 70_000)...)
	if err := PutPrefix(body); err != nil {
		t.Fatal(err)
	}
	if compressed, n := ParsePrefix([PrefixLen]byte(body)); compressed || n != 70_000 {
		t.Errorf("got %t, %d", compressed, n)
	}
	if compressed, n := ParsePrefix([PrefixLen]byte{1, 0xff, 0xff, 0xff, 0xff}); !compressed || n != math.MaxUint32 {
		t.Errorf("got %t, %d", compressed, n)
	}
}

// readStatus decodes a status as clients do.
func readStatus(t rapid.TB, h http.Header, prefix string) (message string, s *status.Status) {
	t.Helper()
	message, err := url.PathUnescape(h.Get(prefix + "Grpc-Message"))
	if err != nil {
		t.Fatal(err)
	}
	details, err := base64.RawStdEncoding.DecodeString(h.Get(prefix + "Grpc-Status-Details-Bin"))
	if err != nil {
		t.Fatal(err)
	}
	var p spb.Status
	if err := proto.Unmarshal(details, &p); err != nil {
		t.Fatal(err)
	}
	if code := strconv.Itoa(int(p.Code)); code != h.Get(prefix+"Grpc-Status") || p.Message != message {
		t.Fatalf("the details have %s %q, the headers %s %q", code, p.Message, h.Get(prefix+"Grpc-Status"), message)
	}
	return message, status.FromProto(&p)
}

func TestStatus(t *testing.T) {
	h := http.Header{}
	s := Status{
		Code: ResourceExhausted, Message: "100 % of it\nis “full”", Reason: "FULL", Domain: "proposer",
		RetryDelay: 1500 * time.Millisecond, Violations: []Violation{{"max", `"-1": want 0 or more`}, {"mode", "want fast"}},
	}
	s.SetHeader(h, http.TrailerPrefix)
	message, got := readStatus(t, h, http.TrailerPrefix)
	if message != s.Message || got.Code() != codes.ResourceExhausted || len(got.Details()) != 3 {
		t.Fatalf("got %q, %v", message, got.Proto())
	}
	info, retry, request := got.Details()[0].(*errdetails.ErrorInfo), got.Details()[1].(*errdetails.RetryInfo), got.Details()[2].(*errdetails.BadRequest)
	if info.Reason != "FULL" || info.Domain != "proposer" || retry.RetryDelay.AsDuration() != s.RetryDelay ||
		len(request.FieldViolations) != 2 || request.FieldViolations[0].Field != "max" || request.FieldViolations[0].Description != `"-1": want 0 or more` {
		t.Errorf("got %v, %v, %v", info, retry, request)
	}
	if got := h.Get(http.TrailerPrefix + "Grpc-Retry-Pushback-Ms"); got != "1500" {
		t.Errorf("got %s", got)
	}
	h = http.Header{}
	(&Status{}).SetHeader(h, "")
	if len(h) != 1 || h.Get("Grpc-Status") != "0" {
		t.Errorf("got %v", h)
	}
}

// Whatever a status says, clients can read it and it fits into their limit for headers.
func TestStatusSize(t *testing.T) {
	text := rapid.Custom(func(t *rapid.T) string {
		s := rapid.SampledFrom([]string{"", "x", "é", "�", "\xff", "\n", "%", "a\u0301"}).Draw(t, "unit")
		return strings.Repeat(s, rapid.SampledFrom([]int{0, 1, 3, 1023, 1024, 1025, 5000}).Draw(t, "times"))
	})
	rapid.Check(t, func(t *rapid.T) {
		s := Status{Code: InvalidArgument, Message: text.Draw(t, "message"), Reason: "OPTION", Domain: "proposer", RetryDelay: time.Second}
		for range rapid.IntRange(0, 40).Draw(t, "n") {
			s.Violations = append(s.Violations, Violation{text.Draw(t, "field"), text.Draw(t, "description")})
		}
		h := http.Header{}
		s.SetHeader(h, "")
		size := 0
		for name, values := range h {
			size += len(name) + len(values[0]) + 32
			if strings.ContainsFunc(values[0], func(r rune) bool { return r < ' ' || r > '~' }) {
				t.Fatalf("%s: %q", name, values[0])
			}
		}
		if size > 8<<10 {
			t.Fatalf("the headers have %d bytes", size)
		}
		message, _ := readStatus(t, h, "")
		if valid := strings.ToValidUTF8(s.Message, "�"); !utf8.ValidString(message) || message != valid && (len(message) < maxMessage-6 || !strings.HasPrefix(valid, strings.TrimSuffix(message, "..."))) {
			t.Fatalf("got %q of %q", message, s.Message)
		}
	})
}
