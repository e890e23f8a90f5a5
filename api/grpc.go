package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/proposer/proposer/api/internal/rpc"
	"github.com/proposer/proposer/api/openinference"
	"github.com/proposer/proposer/internal/boundedio"
	"github.com/proposer/proposer/internal/propose"
)

const (
	inferenceService = "/inference.GRPCInferenceService/"
	healthCheck      = "/grpc.health.v1.Health/Check"
)

// maxCallBytes is the maximum size of a message without an image.
const maxCallBytes = 4 << 10

// GRPC returns the handler of the Open Inference Protocol over gRPC, and of grpc.health.v1.Health/Check.
// It needs HTTP/2. Calls pass through the same limits as other requests. The handler decodes messages
// itself: the server of google.golang.org/grpc would hold up to three copies of an image, and more memory
// than Config.BodyMemory counts for a message that is made of empty tensors.
func (s *Server) GRPC() http.Handler { return s.grpc }

// grpcServer returns a server of HTTP/2 alone. Without TLS its clients need prior knowledge, which those of
// gRPC have.
func (s *Server) grpcServer() *http.Server {
	hs := s.cfg.httpServer(s.grpc)
	hs.Protocols.SetHTTP1(false)
	hs.Protocols.SetUnencryptedHTTP2(s.cfg.TLSConfig == nil)
	return hs
}

// routeGRPC adds the methods of gRPC. access is what calls pass that may need a token.
func (s *Server) routeGRPC(access ...func(http.Handler) http.Handler) {
	r := s.grpc
	r.Use(s.instrument, markCall, s.reserve, requireCall)
	r.NotFound(methodUnimplemented)
	r.MethodNotAllowed(methodUnimplemented)
	ready := func([]byte) ([]byte, *problem) { return openinference.AppendFlag(nil, !s.draining.Load()), nil }
	r.Post(healthCheck, s.serveCall(s.checkHealth))
	r.Post(inferenceService+"ServerLive", s.serveCall(func([]byte) ([]byte, *problem) {
		return openinference.AppendFlag(nil, true), nil
	}))
	r.Post(inferenceService+"ServerReady", s.serveCall(ready))
	r.Group(func(r chi.Router) {
		r.Use(access...)
		r.Post(inferenceService+"ServerMetadata", s.serveCall(func([]byte) ([]byte, *problem) {
			return openinference.Server(s.cfg.Version).AppendMessage(nil), nil
		}))
		r.Post(inferenceService+"ModelReady", s.serveCall(ofModel(ready)))
		r.Post(inferenceService+"ModelMetadata", s.serveCall(ofModel(func([]byte) ([]byte, *problem) {
			return openinference.Model().AppendMessage(nil), nil
		})))
		r.With(s.admit).Post(inferenceService+"ModelInfer", s.handleModelInfer)
	})
}

// markCall makes all that follows respond to a call of gRPC as its client expects.
func markCall(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		recordOf(r).rpc = r.ProtoMajor == 2 && r.Method == http.MethodPost && rpc.IsContentType(r.Header.Get("Content-Type"))
		next.ServeHTTP(w, r)
	})
}

// requireCall rejects what is not a call, and limits the time of a call to that of its client.
func requireCall(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !recordOf(r).rpc {
			fail(w, r, newProblem(http.StatusUnsupportedMediaType, "format", "this address accepts only gRPC",
				fieldError{"Content-Type", r.Header.Get("Content-Type"), "POST over HTTP/2 with Content-Type " + rpc.ContentType}))
			return
		}
		if timeout := r.Header.Get("Grpc-Timeout"); timeout != "" {
			d, ok := rpc.ParseTimeout(timeout)
			if !ok {
				fail(w, r, newProblem(http.StatusBadRequest, "request", "the header grpc-timeout is invalid",
					fieldError{"grpc-timeout", timeout, "at most 8 digits and one of H, M, S, m, u, n"}))
				return
			}
			ctx, cancel := context.WithTimeout(r.Context(), d)
			defer cancel()
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
}

func methodUnimplemented(w http.ResponseWriter, r *http.Request) {
	fail(w, r, newProblem(http.StatusMethodNotAllowed, "method", "the service does not implement this method",
		fieldError{"method", r.URL.Path, "a method of " + inferenceService + ", or " + healthCheck}))
}

// checkHealth handles grpc.health.v1.Health/Check.
func (s *Server) checkHealth(message []byte) ([]byte, *problem) {
	known := strings.Trim(inferenceService, "/")
	name, err := openinference.ParseHealthRequest(message)
	switch {
	case err != nil:
		return nil, inferenceProblem(err)
	case name != "" && name != known:
		return nil, newProblem(http.StatusNotFound, "path", fmt.Sprintf("service %.60q is unknown: want %q or none", name, known))
	}
	return openinference.AppendHealth(nil, !s.draining.Load()), nil
}

// ofModel returns a call that fails for an unknown model or version.
func ofModel(call func([]byte) ([]byte, *problem)) func([]byte) ([]byte, *problem) {
	return func(message []byte) ([]byte, *problem) {
		if err := openinference.ParseModelRequest(message); err != nil {
			return nil, inferenceProblem(err)
		}
		return call(message)
	}
}

// serveCall returns the handler of a call with small messages.
func (s *Server) serveCall(call func(message []byte) ([]byte, *problem)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body := http.MaxBytesReader(w, r.Body, maxCallBytes+rpc.PrefixLen)
		message, p, err := readMessage(r, body, maxCallBytes, func(int64) ([]byte, error) {
			return boundedio.ReadAll(body, 0, maxCallBytes)
		})
		if err != nil {
			p = newProblem(http.StatusBadRequest, "request", "the message cannot be read: "+err.Error())
		}
		var reply []byte
		if p == nil {
			reply, p = call(message)
		}
		if p != nil {
			fail(w, r, p)
			return
		}
		s.writeMessage(w, encodedResult{body: append(make([]byte, rpc.PrefixLen), reply...)})
	}
}

// handleModelInfer responds with the boxes and scores of an image as tensors.
func (s *Server) handleModelInfer(w http.ResponseWriter, r *http.Request) {
	limit := s.cfg.MaxImageBytes + formOverhead
	b, p := s.openBody(w, r, limit+rpc.PrefixLen)
	if p != nil {
		fail(w, r, p)
		return
	}
	memory := recordOf(r).memory
	message, p, err := readMessage(r, b, limit, func(length int64) ([]byte, error) {
		return boundedio.ReadReserved(b, length, limit, memory)
	})
	if large, ok := errors.AsType[*boundedio.LimitError](err); ok {
		large.Max = s.cfg.MaxImageBytes
	}
	if p := s.bodyProblem(r.Context(), b, p, err, "message"); p != nil {
		fail(w, r, p)
		return
	}
	s.clearReadDeadline(w)
	if memory.Reserve(openinference.MessageMemory(message)) != nil {
		fail(w, r, overloadProblem())
		return
	}
	req, err := openinference.ParseMessage(message)
	if err != nil {
		fail(w, r, inferenceProblem(err))
		return
	}
	resp, p := s.infer(r.Context(), recordOf(r), req, func(_ context.Context, result *propose.Result) ([]byte, error) {
		return openinference.AppendMessage(make([]byte, rpc.PrefixLen), req, result.Boxes, result.Scores)
	})
	if p != nil {
		fail(w, r, p)
		return
	}
	memory.Release(int64(cap(message)))
	s.writeMessage(w, resp)
}

// readMessage reads the only message of a call, with a function that reads the rest of the body, which
// should have the given length. The problem describes a body that is not accepted.
func readMessage(r *http.Request, body io.Reader, limit int64, read func(length int64) ([]byte, error)) ([]byte, *problem, error) {
	if encoding := r.Header.Get("Grpc-Encoding"); encoding != "" && encoding != "identity" {
		p := newProblem(http.StatusUnsupportedMediaType, "format", "compressed messages are not supported: images are already compressed",
			fieldError{"grpc-encoding", encoding, "no grpc-encoding, or identity"})
		p.code = rpc.Unimplemented
		return nil, p, nil
	}
	var prefix [rpc.PrefixLen]byte
	n, err := io.ReadFull(body, prefix[:])
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return nil, messageProblem(int64(n), "a message"), nil
	case err != nil:
		return nil, nil, err
	}
	compressed, length := rpc.ParsePrefix(prefix)
	switch {
	case compressed:
		return nil, newProblem(http.StatusBadRequest, "request", "the message is compressed, but there is no grpc-encoding"), nil
	case length > limit:
		return nil, nil, &boundedio.LimitError{What: "bytes", Got: length, Max: limit}
	}
	message, err := read(length)
	if err == nil && int64(len(message)) != length {
		return nil, messageProblem(int64(len(message)), fmt.Sprintf("one message of %d bytes, as its prefix announces", length)), nil
	}
	return message, nil, err
}

// messageProblem reports a call that is not one message.
func messageProblem(length int64, want string) *problem {
	return newProblem(http.StatusBadRequest, "request", fmt.Sprintf("the call has %d bytes: want %s", length, want),
		fieldError{"message", fmt.Sprintf("%d bytes", length), want})
}

// writeMessage responds with a message that follows PrefixLen bytes.
func (s *Server) writeMessage(w http.ResponseWriter, resp encodedResult) {
	if err := rpc.PutPrefix(resp.body); err != nil {
		panic(err) // the search limits boxes to fewer
	}
	s.writeSearched(w, rpc.ContentType, resp)
	(&rpc.Status{}).SetHeader(w.Header(), http.TrailerPrefix)
}

// grpcCodes has the status code of each kind of problem.
var grpcCodes = map[string]rpc.Code{
	"option":   rpc.InvalidArgument,
	"request":  rpc.InvalidArgument,
	"token":    rpc.Unauthenticated,
	"path":     rpc.NotFound,
	"method":   rpc.Unimplemented,
	"slow":     rpc.DeadlineExceeded,
	"size":     rpc.InvalidArgument,
	"format":   rpc.InvalidArgument,
	"picture":  rpc.InvalidArgument,
	"depth":    rpc.InvalidArgument,
	"regions":  rpc.InvalidArgument,
	"full":     rpc.ResourceExhausted,
	"rate":     rpc.ResourceExhausted,
	"gone":     rpc.Canceled,
	"internal": rpc.Internal,
	"deadline": rpc.DeadlineExceeded,
	"draining": rpc.Unavailable,
}

// writeStatus responds to a call with the problem.
func (p *problem) writeStatus(w http.ResponseWriter) {
	h := w.Header()
	detail := strings.Replace(p.Detail, "in Retry-After", "in RetryInfo", 1)
	status := rpc.Status{Code: p.code, Message: detail, Reason: strings.ToUpper(p.kind), Domain: "proposer"}
	if status.Code == rpc.OK {
		status.Code = grpcCodes[p.kind]
	}
	for _, e := range p.Errors {
		status.Violations = append(status.Violations, rpc.Violation{Field: e.Name, Description: fmt.Sprintf("%q: want %s", e.Value, e.Want)})
	}
	if p.retry() {
		delay, err := strconv.Atoi(h.Get("Retry-After"))
		if err != nil {
			delay = retryAfter
		}
		status.RetryDelay = time.Duration(delay) * time.Second
	}
	h.Set("Content-Type", rpc.ContentType)
	h.Set("Grpc-Accept-Encoding", "identity")
	w.WriteHeader(http.StatusOK)
	status.SetHeader(h, http.TrailerPrefix)
}
