package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/proposer/proposer/api/internal/rpc"
	"github.com/proposer/proposer/api/openinference"
	"github.com/proposer/proposer/internal/clip"
	"github.com/proposer/proposer/internal/codec"
	"github.com/proposer/proposer/internal/fairqueue"
	"github.com/proposer/proposer/internal/imageio"
	"github.com/proposer/proposer/internal/optparse"
	"github.com/proposer/proposer/internal/propose"
	"github.com/proposer/proposer/selective"
)

// A problem is an RFC 9457 problem. Its kind is the last part of its type and the reason label of
// proposer_requests_rejected_total. Calls of gRPC get the status code in the third column:
//
//	400 option   INVALID_ARGUMENT   an option is unknown, invalid or not available to clients
//	400 request  INVALID_ARGUMENT   the body or the query cannot be parsed
//	401 token    UNAUTHENTICATED    the bearer token is missing or invalid
//	404 path     NOT_FOUND          the resource does not exist
//	405 method   UNIMPLEMENTED      the resource does not support the method: see Allow
//	406 accept   -                  no available format matches Accept
//	408 slow     DEADLINE_EXCEEDED  the body did not arrive within the body timeout
//	413 size     INVALID_ARGUMENT   the image has too many bytes or pixels, or too long a side, or the response would be too large
//	415 format   INVALID_ARGUMENT   the data is not an image of a supported format
//	422 picture  INVALID_ARGUMENT   the image is corrupt
//	422 depth    INVALID_ARGUMENT   a sample of the image is larger than the option depth allows
//	422 regions  INVALID_ARGUMENT   the options segment the image into too many regions
//	429 full     RESOURCE_EXHAUSTED the queue or the memory for clients is full: see Retry-After
//	429 rate     RESOURCE_EXHAUSTED the token or address exceeded its request rate: see Retry-After
//	499 gone     CANCELLED          the client disconnected; only in the log and the metrics
//	500 internal INTERNAL           internal error
//	503 deadline DEADLINE_EXCEEDED  the search exceeded the request timeout
//	503 draining UNAVAILABLE        the service is shutting down
type problem struct {
	Type   string       `json:"type"`
	Title  string       `json:"title"`
	Status int          `json:"status"`
	Detail string       `json:"detail"`
	Errors []fieldError `json:"errors,omitempty"`
	More   int          `json:"more_errors,omitempty"` // number of errors that Errors leaves out

	kind  string
	code  rpc.Code // if not OK, the code of gRPC instead of the kind's
	cause error    // logged, not sent
}

// A fieldError names an invalid part of the request and states what is expected.
type fieldError struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Want  string `json:"want"`
}

// statusClientClosedRequest is the status that nginx logs if the client disconnects before the response.
const statusClientClosedRequest = 499

// retryAfter is the Retry-After of an overloaded service, in seconds.
const retryAfter = 1

func newProblem(status int, kind, detail string, fields ...fieldError) *problem {
	title := http.StatusText(status)
	if status == statusClientClosedRequest {
		title = "Client Closed Request"
	}
	return &problem{
		Type: "urn:proposer:problem:" + kind, Title: title, Status: status,
		Detail: detail, Errors: fields, kind: kind,
	}
}

// maxProblem is the maximum size of the texts of a problem, in bytes of JSON. A line of NDJSON has the
// detail twice, and with the names of the members it is below 16 KiB.
const maxProblem = 7 << 10

// maxFileName is the maximum size of a file name beside a problem, in bytes of JSON.
const maxFileName = 512

// optionProblem reports the invalid options of a request.
func optionProblem(err error) *problem {
	var fields []fieldError
	for _, e := range propose.OptionErrors(err) {
		fields = append(fields, fieldError(*e))
	}
	p := newProblem(http.StatusBadRequest, "option", optparse.Message(err), fields...)
	p.More = optparse.More(err)
	return p
}

// clip shortens the texts of a problem, as what a client sends may be long. It does so before the problem
// is sent or logged, not where texts of the client become part of it.
func (p *problem) clip() {
	texts := []*string{&p.Detail}
	for i := range p.Errors {
		texts = append(texts, &p.Errors[i].Name, &p.Errors[i].Value, &p.Errors[i].Want)
	}
	clip.Texts(maxProblem, texts...)
}

// problemFor returns the problem that describes err to the client. ctx must be the context of the
// request, which ends if the client disconnects.
func problemFor(ctx context.Context, err error) *problem {
	p := classify(ctx, err)
	p.cause = err
	return p
}

func classify(ctx context.Context, err error) *problem {
	if limit, ok := errors.AsType[*imageio.LimitError](err); ok {
		return newProblem(http.StatusRequestEntityTooLarge, "size",
			fmt.Sprintf("the image is too large: more than %d %s", limit.Max, limit.What),
			fieldError{limit.What, strconv.FormatInt(limit.Got, 10), fmt.Sprintf("at most %d", limit.Max)})
	}
	if broken, ok := errors.AsType[*imageio.FormatError](err); ok {
		return newProblem(http.StatusUnprocessableEntity, "picture", message(broken),
			fieldError{"image", broken.Format, "a complete and valid " + broken.Format + " file"})
	}
	if depth, ok := errors.AsType[*imageio.DepthError](err); ok {
		return newProblem(http.StatusUnprocessableEntity, "depth", message(depth),
			fieldError{"depth", depth.Depth.String(), depth.Want()})
	}
	if many, ok := errors.AsType[*selective.TooManyRegionsError](err); ok {
		want := fmt.Sprintf("a k, min-size or max-side that results in at most %d initial regions", many.Max)
		if many.Total {
			want += " of all strategies together"
		}
		return newProblem(http.StatusUnprocessableEntity, "regions", message(many), fieldError{"k", fmt.Sprint(many.Strategy.K), want})
	}
	if many, ok := errors.AsType[*codec.TooManyRegionsError](err); ok {
		return newProblem(http.StatusUnprocessableEntity, "regions", message(many),
			fieldError{"Accept", "image/png", "application/x-npy, application/json, or a larger k or min-size"})
	}
	if other, ok := errors.AsType[*imageio.UnsupportedError](err); ok {
		return newProblem(http.StatusUnsupportedMediaType, "format", message(other),
			fieldError{"image", other.Data, cmp.Or(other.Advice, imageio.Formats)})
	}
	if large, ok := errors.AsType[*responseSizeError](err); ok {
		return large.problem()
	}
	switch {
	case errors.Is(err, errOverloaded), errors.Is(err, fairqueue.ErrFull):
		return overloadProblem()
	case errors.Is(err, context.DeadlineExceeded):
		return newProblem(http.StatusServiceUnavailable, "deadline",
			"the search exceeded the time limit; retry later, use a smaller max-side or a faster mode")
	case ctx.Err() != nil:
		return newProblem(statusClientClosedRequest, "gone", "the client disconnected")
	}
	return newProblem(http.StatusInternalServerError, "internal", "internal error; the log of the service has the details")
}

// message returns the text of an error about an image, without the name of the package before it.
func message(err error) string {
	return strings.TrimPrefix(err.Error(), "selective: ")
}

// ndjsonLine returns the problem as a line of a response for several images.
func (p *problem) ndjsonLine(index int, file string) []byte {
	p.clip()
	body, err := json.Marshal(struct {
		Index   int      `json:"index"`
		File    string   `json:"file"`
		Error   string   `json:"error"`
		Problem *problem `json:"problem"`
	}{index, clip.Text(file, maxFileName), p.Detail, p})
	if err != nil {
		panic(err) // a struct of strings and numbers always encodes
	}
	return append(body, '\n')
}

// overloadProblem rejects a request because the queue or the memory for clients is full.
func overloadProblem() *problem {
	return newProblem(http.StatusTooManyRequests, "full", "the server is at capacity; retry after the delay in Retry-After")
}

// retry reports whether the client may retry the same request later.
func (p *problem) retry() bool {
	return p.Status == http.StatusServiceUnavailable || p.Status == http.StatusTooManyRequests
}

// write responds with the problem. If the client has disconnected it sets only the status, which
// the metrics and the log report.
func (p *problem) write(w http.ResponseWriter, r *http.Request) {
	if p.Status == statusClientClosedRequest {
		w.WriteHeader(p.Status)
		return
	}
	p.clip()
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // a struct of strings and numbers always encodes
	}
	media := "application/problem+json"
	if isInferencePath(r.URL.Path) {
		body, media = openinference.AppendError(nil, p.Detail), "application/json"
	}
	h := w.Header()
	h.Set("Content-Type", media)
	h.Set("Content-Length", strconv.Itoa(len(body)+1))
	if p.retry() && h.Get("Retry-After") == "" {
		h.Set("Retry-After", strconv.Itoa(retryAfter))
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // the client may have disconnected
}
